"""Judgement whether the best's value of one strength helps, hurts or makes no difference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.divergence import Divergence
from search.verdict.effects import NO_EFFECT, Effect
from search.verdict.schema import Estimate
from search.verdict.selected import selected_estimate
from search.verdict.sequential import p_helps, runs_to_decide, shares, step_down
from search.verdict.wording import change_with_interval, metric_words

OPPOSED_ALPHA = 0.2
"""Error probability of the accuracy interval that keeps log-loss from deciding.

If that interval says the opposite of the log-loss, the dial is not turned by log-loss. To hold back
a turn takes less certainty than to turn, and never makes a false turn more likely.
Where only the plain log-loss improves, which temperature scaling would achieve as well, an accuracy
that merely looks worse by the margin is enough: smoothing often helps accuracy and hurts
calibration. The same holds for any first metric and those that decide after it.
"""

LIKELY = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Offsets from an effect, in standard errors, for which the runs still needed are estimated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The estimates at one look at the experiment.

    Attributes:
        share: Part of the error probability that it may spend (`sequential.look_share`).
        effects: By strength and metric, from the runs that had ended then.
        divergences: By strength, from `search.verdict.divergence`.
    """

    share: float
    effects: Mapping[str, Mapping[str, Effect]]
    divergences: Mapping[str, Divergence] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The judgement on moving one strength from the reference's value to the best's.

    Attributes:
        outcome: ``helps``, ``hurts``, ``same`` or ``open``.
        decided_by: Metric that decided, or ``diverged``; None while open.
        remark: Description of the results, with numbers; empty where the effect alone says it.
        selected: Where it helps: the effect on the deciding metric, corrected for the selection
            of effects that passed the test.
        more_runs: Estimated number of further runs that would decide it if open; None if unknown
            or decided.
        more_runs_range: Smallest and largest such number for true effects within a standard error
            of the estimate.
    """

    outcome: str
    decided_by: str | None
    remark: str
    selected: Estimate | None = None
    more_runs: int | None = None
    more_runs_range: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clue:
    """The answer to one question asked of one strength at one look.

    Attributes:
        name: The strength.
        what: The question, a key of `shares`.
        look: Index of the look.
        share: Part of the error probability that the question may spend.
        p_value: Its p-value divided by that part.
    """

    name: str
    what: str
    look: int
    share: float
    p_value: float


def judge_all(
    looks: Sequence[Look], *, runs_per_round: int, first: Metric = TOP1
) -> dict[str, Judgement]:
    """Judge every strength from all looks so far, in the order of `search.verdict.dials.decide`.

    Args:
        looks: All looks, oldest first; the last one sees all runs.
        runs_per_round: Runs that one more round of blocks would add.
        first: The metric that decides first; its margin is the zone of no practical difference.
    """
    names = list(looks[-1].effects)
    helps = _rejected(looks, names, first, helps=True)
    hurts = _rejected(looks, [name for name in names if name not in helps], first, helps=False)
    found = {}
    for name in names:
        effects = looks[-1].effects[name]
        effect = effects.get(first.on("val"), NO_EFFECT)
        if name in helps:
            found[name] = _decided("helps", *helps[name], looks, first)
        elif name in hurts:
            found[name] = _decided("hurts", *hurts[name], looks, first)
        elif _is_same(effect, first.margin):
            zone = first.unit.amount(first.margin)
            remark = f"{_shown(first.on('val'), effect)}, inside {zone} either way"
            found[name] = Judgement(outcome="same", decided_by=first.on("val"), remark=remark)
        else:
            found[name] = _open(
                effects,
                looks[-1].divergences.get(name),
                first,
                runs_per_round=runs_per_round,
                share=looks[-1].share * shares(first)[first.on("val")],
                num_dials=len(names) - len(helps),
            )
    return found


def _rejected(
    looks: Sequence[Look], names: Sequence[str], first: Metric, *, helps: bool
) -> dict[str, tuple[_Clue, float]]:
    """Find the strengths whose change helps (or hurts), by Holm's procedure.

    Returns by strength the deciding answer, and the significance level that it passed.
    """
    clues = {
        name: [
            clue
            for at, look in enumerate(looks)
            for clue in _clues(name, look, at, first, helps=helps)
        ]
        for name in names
    }
    smallest = {name: min((clue.p_value for clue in of), default=1.0) for name, of in clues.items()}
    questions = list(shares(first))

    def deciding(name: str, level: float) -> _Clue:
        # The first metric before others, and the look at which it first was enough.
        enough = [clue for clue in clues[name] if clue.p_value <= level]
        return min(enough, key=lambda clue: (questions.index(clue.what), clue.look))

    return {name: (deciding(name, level), level) for name, level in step_down(smallest).items()}


def _clues(name: str, look: Look, at: int, first: Metric, *, helps: bool) -> Iterable[_Clue]:
    """Yield the answer to every question that a look can ask of a strength."""
    if look.share == 0.0:
        return
    effects = look.effects.get(name, {})
    divergence = look.divergences.get(name)
    parts = shares(first)
    way = 1.0 if helps else -1.0

    def clue(what: str, p_value: float) -> _Clue:
        share = look.share * parts[what]
        return _Clue(name=name, what=what, look=at, share=share, p_value=p_value / share)

    if divergence is not None and _fewer_diverge(divergence) == helps:
        yield clue("diverged", divergence.p_value)
    effect = effects.get(first.on("val"), NO_EFFECT)
    gain = effect.times(first.sign * way)
    is_same = _is_same(effect, first.margin)
    if not is_same:
        # If every run shows the same change, the error is 0: a change above the margin counts.
        is_plain = gain.std_error == 0.0 and abs(gain.mean) > first.margin
        yield clue(first.on("val"), float(gain.mean < 0.0) if is_plain else p_helps(gain))
    for metric in map(metric_of, first.then):
        other = effects.get(metric.on("val"), NO_EFFECT)
        is_opposed = not is_same and _opposes(gain, metric, first.margin)
        if metric.refined is not None:
            # Worse refined predictions must not be accepted for a better calibration, which
            # temperature scaling would give as well.
            refined = metric_of(metric.refined)
            better = effects.get(refined.on("val"), NO_EFFECT).times(refined.sign * way)
            is_opposed = is_opposed or better.interval(0.05)[1] < 0.0
        if abs(other.mean) >= metric.margin and not is_opposed:
            yield clue(metric.on("val"), p_helps(other.times(metric.sign * way)))


def _decided(
    outcome: str, clue: _Clue, level: float, looks: Sequence[Look], first: Metric
) -> Judgement:
    effects = looks[-1].effects[clue.name]
    divergence = looks[-1].divergences.get(clue.name)
    shown = _shown(clue.what, effects.get(clue.what, NO_EFFECT))
    remark, selected = shown if outcome == "hurts" else "", None
    if clue.what == "diverged":
        remark = _diverged(divergence) if divergence is not None else ""
    elif clue.what != first.on("val"):
        metric = metric_of(clue.what)
        unsure = _shown(first.on("val"), effects.get(first.on("val"), NO_EFFECT))
        remark = (
            f"{first.noun} does not decide ({unsure}), {metric.noun} does: "
            f"{_meaning(metric, effects)}"
        )
        if outcome == "hurts":
            remark += f" ({shown})"
    if outcome == "helps" and clue.what in effects:
        sign = metric_of(clue.what).sign
        selected = selected_estimate(
            effects[clue.what].times(sign),
            looks[clue.look].effects[clue.name][clue.what].times(sign),
            level=level * clue.share,
        ).times(sign)
    return Judgement(outcome=outcome, decided_by=clue.what, remark=remark, selected=selected)


def _is_same(effect: Effect, margin: float) -> bool:
    """Whether the change makes no difference: its 95 % interval lies within the margin."""
    has_spread = effect.std_error > 0.0 or abs(effect.mean) > margin
    return has_spread and -margin < effect.ci95[0] <= effect.ci95[1] < margin


def _opposes(gain: Effect, metric: Metric, margin: float) -> bool:
    """Whether the first metric's effect seems to contradict a gain by another metric."""
    if metric.refined is not None and gain.mean < -margin:
        return True
    return gain.interval(OPPOSED_ALPHA)[1] < 0.0


def _is_held_back(effect: Effect, of_first: Effect, metric: Metric, first: Metric) -> bool:
    """Whether another metric moves beyond noise but the first one seems to contradict it."""
    low, high = effect.interval(0.05)
    moves = abs(effect.mean) >= metric.margin and (low > 0.0 or high < 0.0)
    way = math.copysign(1.0, metric.sign * effect.mean)
    return moves and _opposes(of_first.times(first.sign * way), metric, first.margin)


def _fewer_diverge(divergence: Divergence) -> bool:
    """Whether a smaller share of runs diverges at the best's value than at the reference's."""
    at_reference, at_best = (
        d / n if n else 0.0 for d, n in zip(divergence.diverged, divergence.runs, strict=True)
    )
    return at_best < at_reference


def _meaning(metric: Metric, effects: Mapping[str, Effect]) -> str:
    """Say whether a change of the metric is calibration or a change of the predictions.

    That the refined metric's effect is not significant does not prove that it is zero, so its
    interval must lie within the margin for a plain statement.
    """
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
    effects: Mapping[str, Effect],
    divergence: Divergence | None,
    first: Metric,
    *,
    runs_per_round: int,
    share: float,
    num_dials: int,
) -> Judgement:
    name = first.on("val")
    effect = effects.get(name, NO_EFFECT)
    has_spread = effect.std_error > 0.0 or abs(effect.mean) > first.margin
    if not effect.is_estimable:
        remark = f"the {effect.num_runs} runs with a result cannot tell it from the others"
    elif not has_spread:
        remark = f"the change of {metric_words(name)} is the same in every run, so noise is unknown"
    else:
        remark = _shown(name, effect)
    if divergence is not None:
        remark += f"; {_diverged(divergence)}"
    for metric in map(metric_of, first.then):
        if _is_held_back(effects.get(metric.on("val"), NO_EFFECT), effect, metric, first):
            remark += f", while {metric.noun} points the other way"
            break
    needed = [
        runs_to_decide(
            replace(effect, mean=effect.mean + step * effect.std_error),
            runs_per_round=runs_per_round,
            share=share,
            num_dials=num_dials,
            margin=first.margin,
        )
        for step in LIKELY
        if share > 0.0 and math.isfinite(effect.std_error)
    ]
    known = [runs for runs in needed if runs is not None]
    is_known = len(known) == len(LIKELY)
    return Judgement(
        outcome="open",
        decided_by=None,
        remark=remark,
        more_runs=known[LIKELY.index(0.0)] if is_known else None,
        more_runs_range=(min(known), max(known)) if is_known else None,
    )


def _shown(metric: str, effect: Effect) -> str:
    if math.isnan(effect.mean):
        return f"{metric_words(metric)} is unknown"
    return f"{metric_words(metric)} {change_with_interval(metric, effect.estimate)}"


def _diverged(divergence: Divergence) -> str:
    (a, b), (n, m) = divergence.diverged, divergence.runs
    return f"{a} of {n} runs diverged at the reference's value, {b} of {m} at the best's"
