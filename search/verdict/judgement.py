"""Whether going to the best's value of one strength helps, hurts, or makes no difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from search.verdict.divergence import Divergence
from search.verdict.effects import NO_EFFECT, Effect
from search.verdict.schema import Estimate
from search.verdict.sequential import SHARES, decision_interval, look_alpha, runs_to_decide
from search.verdict.wording import change_with_interval, metric_words

LOG_LOSS_MARGIN = 0.02
"""Nats of log-loss below which a change is not worth a turn.

Where one image in twenty is wrong, half a point of top-1 is a tenth of the errors, and a tenth of a
log-loss of about 0.2 is this much.
"""

OPPOSED_ALPHA = 0.2
"""Log-loss does not decide where accuracy points the other way by an interval that errs so often.

To hold back a turn takes less certainty than to turn, and never makes a false turn more likely.
Where only the plain log-loss moves, which temperature scaling would do as well, an accuracy that
merely looks worse by the margin is enough: smoothing often helps accuracy and hurts calibration.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """How sure an answer about one strength must be.

    Attributes:
        look: From 1, the look after the second block, to ``max_looks``.
        max_looks: Looks planned: the largest number of blocks, less one.
        num_dials: Strengths that the experiment varies.
        runs_per_block: Runs that one more block would add.
        margin: Half-width of the zone of no practical difference in top-1.
    """

    look: int
    max_looks: int
    num_dials: int
    runs_per_block: int
    margin: float

    def alpha(self, what: str) -> float:
        """Error probability that the question ``what``, a key of `SHARES`, may spend now."""
        return look_alpha(
            look=self.look,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=SHARES[what],
        )

    def interval(self, metric: str, effect: Effect) -> tuple[float, float]:
        """The interval of ``effect`` that must leave out zero to decide by ``metric``."""
        return decision_interval(
            effect,
            look=self.look,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=SHARES[metric],
        )

    def more_runs(self, effect: Effect) -> int | None:
        """Estimate of the runs still needed for ``val/top1`` to decide."""
        return runs_to_decide(
            effect,
            runs_per_block=self.runs_per_block,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=SHARES["val/top1"],
            margin=self.margin,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is known of going from the reference's value to the best's.

    Attributes:
        outcome: ``helps``, ``hurts``, ``same`` or ``open``.
        decided_by: Metric it rests on, or ``diverged``; None while open.
        remark: What the runs showed, with numbers; empty where the effect alone says it.
        more_runs: Runs that would decide it if open, None if unknown or decided.
    """

    outcome: str
    decided_by: str | None
    remark: str
    more_runs: int | None = None


def judge(
    effects: Mapping[str, Effect], divergence: Divergence | None, question: Question
) -> Judgement:
    """Judge one strength; the order of the questions is that of `search.verdict.dials.decide`."""
    if divergence is not None and divergence.p_value <= question.alpha("diverged"):
        return _by_divergence(divergence)
    accuracy = effects.get("val/top1", NO_EFFECT)
    low, high = question.interval("val/top1", accuracy)
    has_spread = accuracy.std_error > 0.0 or abs(accuracy.mean) > question.margin
    is_same = (
        has_spread and -question.margin < accuracy.ci95[0] <= accuracy.ci95[1] < question.margin
    )
    if has_spread and not is_same:
        if low > 0.0:
            return Judgement(outcome="helps", decided_by="val/top1", remark="")
        if high < 0.0:
            return Judgement(outcome="hurts", decided_by="val/top1", remark=_shown(accuracy))
    by_log_loss = _by_log_loss(effects, question)
    is_opposed = (
        by_log_loss is not None and not is_same and _opposes(accuracy, by_log_loss, question.margin)
    )
    if by_log_loss is not None and not is_opposed:
        return by_log_loss
    if is_same:
        remark = f"{_shown(accuracy)}, inside {100 * question.margin:g} points either way"
        return Judgement(outcome="same", decided_by="val/top1", remark=remark)
    found = _open(accuracy, divergence, question, has_spread)
    if is_opposed:
        return replace(found, remark=f"{found.remark}, while log-loss points the other way")
    return found


def _opposes(accuracy: Effect, by_log_loss: Judgement, margin: float) -> bool:
    """Whether accuracy seems to say the opposite of what log-loss would decide."""
    sign = 1.0 if by_log_loss.outcome == "helps" else -1.0
    if by_log_loss.decided_by == "val/nll" and sign * accuracy.mean < -margin:
        return True
    return max(sign * end for end in accuracy.interval(OPPOSED_ALPHA)) < 0.0


def _by_divergence(divergence: Divergence) -> Judgement:
    at_reference, at_best = (
        d / n if n else 0.0 for d, n in zip(divergence.diverged, divergence.runs, strict=True)
    )
    outcome = "helps" if at_best < at_reference else "hurts"
    return Judgement(outcome=outcome, decided_by="diverged", remark=_diverged(divergence))


def _by_log_loss(effects: Mapping[str, Effect], question: Question) -> Judgement | None:
    accuracy = effects.get("val/top1", NO_EFFECT)
    for metric in ("val/nll_refined", "val/nll"):
        effect = effects.get(metric, NO_EFFECT)
        if not abs(effect.mean) >= LOG_LOSS_MARGIN:
            continue
        low, high = question.interval(metric, effect)
        if low > 0.0 or high < 0.0:
            outcome = "helps" if high < 0.0 else "hurts"
            meaning = _meaning(metric, effects)
            remark = f"accuracy does not decide ({_shown(accuracy)}), log-loss does: {meaning}"
            if outcome == "hurts":
                remark += f" ({_shown(effect, metric)})"
            return Judgement(outcome=outcome, decided_by=metric, remark=remark)
    return None


def _meaning(metric: str, effects: Mapping[str, Effect]) -> str:
    """What a change of log-loss says: that the refined one decides nothing is no proof of none."""
    if metric == "val/nll_refined":
        return "the predictions themselves change"
    refined = effects.get("val/nll_refined", NO_EFFECT)
    most = max(abs(end) for end in refined.ci95)
    if most < LOG_LOSS_MARGIN:
        return "a calibration matter, for log-loss after temperature scaling does not move"
    is_mostly = most < abs(effects[metric].mean) / 2
    said = "mostly a calibration matter" if is_mostly else "how much of it is calibration is open"
    return f"{said} ({_shown(refined, 'val/nll_refined')})"


def _open(
    accuracy: Effect, divergence: Divergence | None, question: Question, has_spread: bool
) -> Judgement:
    if not accuracy.is_estimable:
        remark = f"the {accuracy.num_runs} runs with a result cannot tell it from the others"
    elif not has_spread:
        remark = "the change of validation top-1 is the same in every run, so noise is unknown"
    else:
        remark = _shown(accuracy)
    if divergence is not None:
        remark += f"; {_diverged(divergence)}"
    more_runs = question.more_runs(accuracy) if has_spread else None
    return Judgement(outcome="open", decided_by=None, remark=remark, more_runs=more_runs)


def _shown(effect: Effect, metric: str = "val/top1") -> str:
    if math.isnan(effect.mean):
        return f"{metric_words(metric)} is unknown"
    estimate = Estimate(mean=effect.mean, ci95=effect.ci95)
    return f"{metric_words(metric)} {change_with_interval(metric, estimate)}"


def _diverged(divergence: Divergence) -> str:
    (a, b), (n, m) = divergence.diverged, divergence.runs
    return f"{a} of {n} runs diverged at the reference's value, {b} of {m} at the best's"
