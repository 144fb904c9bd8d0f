"""Whether going to the best's value of one strength helps, hurts, or makes no difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.divergence import Divergence
from search.verdict.effects import NO_EFFECT, Effect
from search.verdict.schema import Estimate
from search.verdict.sequential import decision_interval, look_alpha, runs_to_decide, shares
from search.verdict.wording import change_with_interval, metric_words

OPPOSED_ALPHA = 0.2
"""Log-loss does not decide where accuracy points the other way by an interval that errs so often.

To hold back a turn takes less certainty than to turn, and never makes a false turn more likely.
Where only the plain log-loss moves, which temperature scaling would do as well, an accuracy that
merely looks worse by the margin is enough: smoothing often helps accuracy and hurts calibration.
The same holds for any metric that decides first, and those that decide then.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """How sure an answer about one strength must be.

    Attributes:
        look: From 1, the look after the second block, to ``max_looks``.
        max_looks: Looks planned: the largest number of blocks, less one.
        num_dials: Strengths that the experiment varies.
        runs_per_block: Runs that one more block would add.
        first: What decides first; its margin is the zone of no practical difference, either way.
    """

    look: int
    max_looks: int
    num_dials: int
    runs_per_block: int
    first: Metric = TOP1

    def alpha(self, what: str) -> float:
        """Error probability that the question ``what``, a key of `shares`, may spend now."""
        return look_alpha(
            look=self.look,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=shares(self.first)[what],
        )

    def interval(self, metric: str, effect: Effect) -> tuple[float, float]:
        """The interval of ``effect`` that must leave out zero to decide by ``metric``."""
        return decision_interval(
            effect,
            look=self.look,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=shares(self.first)[metric],
        )

    def more_runs(self, effect: Effect) -> int | None:
        """Estimate of the runs still needed for the metric that decides first to do so."""
        return runs_to_decide(
            effect,
            runs_per_block=self.runs_per_block,
            max_looks=self.max_looks,
            num_dials=self.num_dials,
            share=shares(self.first)[self.first.on("val")],
            margin=self.first.margin,
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
    name, margin = question.first.on("val"), question.first.margin
    effect = effects.get(name, NO_EFFECT)
    gain = effect.times(question.first.sign)
    low, high = question.interval(name, gain)
    has_spread = gain.std_error > 0.0 or abs(gain.mean) > margin
    is_same = has_spread and -margin < gain.ci95[0] <= gain.ci95[1] < margin
    if has_spread and not is_same:
        if low > 0.0:
            return Judgement(outcome="helps", decided_by=name, remark="")
        if high < 0.0:
            return Judgement(outcome="hurts", decided_by=name, remark=_shown(name, effect))
    by_another = _by_another(effects, question)
    is_opposed = by_another is not None and not is_same and _opposes(gain, by_another, margin)
    if by_another is not None and not is_opposed:
        return by_another
    if is_same:
        zone = question.first.unit.amount(margin)
        remark = f"{_shown(name, effect)}, inside {zone} either way"
        return Judgement(outcome="same", decided_by=name, remark=remark)
    found = _open(effect, divergence, question, has_spread)
    if by_another is not None:
        kind = metric_of(str(by_another.decided_by)).noun
        return replace(found, remark=f"{found.remark}, while {kind} points the other way")
    return found


def _opposes(gain: Effect, by_another: Judgement, margin: float) -> bool:
    """Whether what decides first seems to say the opposite of what another metric would decide."""
    sign = 1.0 if by_another.outcome == "helps" else -1.0
    is_of_calibration = metric_of(str(by_another.decided_by)).refined is not None
    if is_of_calibration and sign * gain.mean < -margin:
        return True
    return max(sign * end for end in gain.interval(OPPOSED_ALPHA)) < 0.0


def _by_divergence(divergence: Divergence) -> Judgement:
    at_reference, at_best = (
        d / n if n else 0.0 for d, n in zip(divergence.diverged, divergence.runs, strict=True)
    )
    outcome = "helps" if at_best < at_reference else "hurts"
    return Judgement(outcome=outcome, decided_by="diverged", remark=_diverged(divergence))


def _by_another(effects: Mapping[str, Effect], question: Question) -> Judgement | None:
    """What the metrics say that decide where the first one does not."""
    first = question.first
    for metric in map(metric_of, first.then):
        name = metric.on("val")
        effect = effects.get(name, NO_EFFECT)
        gain = effect.times(metric.sign)
        if not abs(gain.mean) >= metric.margin:
            continue
        low, high = question.interval(name, gain)
        if low > 0.0 or high < 0.0:
            outcome = "helps" if low > 0.0 else "hurts"
            unsure = _shown(first.on("val"), effects.get(first.on("val"), NO_EFFECT))
            remark = (
                f"{first.noun} does not decide ({unsure}), {metric.noun} does: "
                f"{_meaning(metric, effects)}"
            )
            if outcome == "hurts":
                remark += f" ({_shown(name, effect)})"
            return Judgement(outcome=outcome, decided_by=name, remark=remark)
    return None


def _meaning(metric: Metric, effects: Mapping[str, Effect]) -> str:
    """What a change says: that the refined metric decides nothing is no proof that it is equal."""
    if metric.refined is None:
        return "the predictions themselves change"
    better = metric_of(metric.refined)
    refined = effects.get(better.on("val"), NO_EFFECT)
    most = max(abs(end) for end in refined.ci95)
    if most < better.margin:
        return f"a calibration matter, for {better.words} does not move"
    is_mostly = most < abs(effects[metric.on("val")].mean) / 2
    said = "mostly a calibration matter" if is_mostly else "how much of it is calibration is open"
    return f"{said} ({_shown(better.on('val'), refined)})"


def _open(
    effect: Effect, divergence: Divergence | None, question: Question, has_spread: bool
) -> Judgement:
    name = question.first.on("val")
    if not effect.is_estimable:
        remark = f"the {effect.num_runs} runs with a result cannot tell it from the others"
    elif not has_spread:
        remark = f"the change of {metric_words(name)} is the same in every run, so noise is unknown"
    else:
        remark = _shown(name, effect)
    if divergence is not None:
        remark += f"; {_diverged(divergence)}"
    more_runs = question.more_runs(effect) if has_spread else None
    return Judgement(outcome="open", decided_by=None, remark=remark, more_runs=more_runs)


def _shown(metric: str, effect: Effect) -> str:
    if math.isnan(effect.mean):
        return f"{metric_words(metric)} is unknown"
    estimate = Estimate(mean=effect.mean, ci95=effect.ci95)
    return f"{metric_words(metric)} {change_with_interval(metric, estimate)}"


def _diverged(divergence: Divergence) -> str:
    (a, b), (n, m) = divergence.diverged, divergence.runs
    return f"{a} of {n} runs diverged at the reference's value, {b} of {m} at the best's"
