"""The simpler value wins a tie: off is recommended where it does no worse than the best's value."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.plan.plan import Plan
from search.records.metrics import Metric
from search.stages.experiment import NO_AVERAGE
from search.verdict.design import AVERAGES, EMA_FACTOR
from search.verdict.effects import NO_EFFECT, Run, estimate_effects
from search.verdict.schema import Dial
from spaces.strengths.registry import strength
from spaces.units import to_effective

TOLD_APART = 0.05
"""Error probability of the two-sided interval by which averaging must beat no averaging."""


def without_average(runs: Sequence[Run], *, instead_of: str) -> list[Run]:
    """Put the raw weights' metrics in the place of an average's, for all comparisons of levels."""
    return [
        replace(run, metrics={**run.metrics, instead_of: run.metrics[NO_AVERAGE]})
        for run in runs
        if NO_AVERAGE in run.metrics
    ]


def average_is_worth_it(runs: Sequence[Run], names: tuple[str, ...], metric: Metric) -> bool:
    """Whether the best's average does better than no averaging beyond noise.

    Both are measured in every run, so that all else is equal.

    Args:
        runs: Runs of the experiment.
        names: Factors of the experiment that act on training.
        metric: The metric that decides.
    """
    held = without_average(runs, instead_of="reference")
    found = estimate_effects(held, names, within=[AVERAGES], first=metric)[EMA_FACTOR]
    gain = found.get(metric.on("val"), NO_EFFECT).times(metric.sign)
    return gain.interval(TOLD_APART)[0] > 0.0


def off_for_nearly_off(dial: Dial, plan: Plan) -> Dial:
    """Recommend off where a strength is turned down to a value that is as good as off."""
    factor = strength(dial.strength)
    if dial.turn != "down" or factor.off is None or dial.recommended == factor.off:
        return dial
    off = to_effective(dial.strength, factor.off, plan.task)
    if factor.differs(dial.recommended_effective, off, plan.task):
        return dial
    return replace(dial, recommended=factor.off, recommended_effective=off)


def with_average_off(dials: Sequence[Dial], off: Mapping[str, Dial]) -> tuple[Dial, ...]:
    """Replace the turn of the weight average by the one towards none, where both are the same.

    That one has to hold by itself, so no turn is made that the experiment did not make twice.
    """
    other = off[EMA_FACTOR]
    return tuple(
        other if dial.strength == EMA_FACTOR and dial.turn == other.turn == "down" else dial
        for dial in dials
    )
