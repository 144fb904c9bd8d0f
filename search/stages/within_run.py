"""Settings that no search proposes, as every run of the experiment measures them at two values."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.plan.plan import Plan
from search.stages.experiment import NO_AVERAGE
from search.verdict.answer.advised_value import advised_value
from search.verdict.design import AVERAGES, EMA_FACTOR, Factors, WithinRun
from search.verdict.effects import Run
from search.verdict.schema import Dial
from search.verdict.wording import raw, value_text
from spaces.recipe import Recipe
from spaces.strengths.class_weighting import CLASS_WEIGHTING
from spaces.strengths.registry import STRENGTHS, WITHIN_RUN, strength
from spaces.units import to_effective


def with_tried(recipe: Recipe, plan: Plan) -> Recipe:
    """Return the recipe with another value than the reference's of what no search proposes."""
    average = STRENGTHS[EMA_FACTOR]
    has_average = any(average.read(one) != average.off for one in (recipe, plan.reference))
    for name in plan.within_names:
        factor = WITHIN_RUN[name]
        held = factor.read(plan.reference)
        is_idle = factor.needs_average and not has_average
        assert factor.tried_instead is not None
        recipe = factor.put(recipe, held if is_idle else factor.tried_instead(held))
    return recipe


def as_turned(runs: Sequence[Run], what: Factors, dials: Sequence[Dial]) -> list[Run]:
    """Put averages measured at the turned value in the place of those at the reference's value.

    Averages are then compared with raw weights, so that nothing counts that both would have.
    """
    turned = {dial.strength for dial in dials if dial.turn in ("down", "up")}
    for factor in what.within:
        if strength(factor.name).needs_average and factor.name in turned:
            runs = [
                replace(run, metrics={**run.metrics, factor.reference: run.metrics[factor.best]})
                for run in runs
                if factor.best in run.metrics
            ]
    return list(runs)


def as_advised(
    runs: Sequence[Run], what: Factors, dials: Sequence[Dial], plan: Plan, best: Recipe
) -> tuple[list[Run], tuple[WithinRun, ...]]:
    """Select what tells of factors that need no average in the recipe that is advised.

    An adjustment of logits is judged on the weights that are advised, and in runs that were trained
    with the class weights that are: both correct the same, so that after one the other may do harm.

    Returns:
        These runs and factors; no factors where all are judged so already.
    """
    names = [f.name for f in what.within if f != AVERAGES and not strength(f.name).needs_average]
    if not names:
        return list(runs), ()
    advised = {dial.strength: advised_value(dial)[0] for dial in dials}
    average = STRENGTHS[EMA_FACTOR]
    weights = {
        "best": average.read(best),
        "reference": average.read(plan.reference),
        NO_AVERAGE: average.off,
    }
    level = next(name for name, decay in weights.items() if decay == advised[EMA_FACTOR])
    weighting = CLASS_WEIGHTING.name
    is_varied = weighting in what.trajectory
    if level == "best" and not is_varied:
        return list(runs), ()
    if is_varied:
        # Off in the place of a best's value that is nearly off is next to the best's.
        trained = -1 if advised[weighting] == CLASS_WEIGHTING.read(plan.reference) else 1
        runs = [run for run in runs if run.levels[weighting] == trained]
    return list(runs), tuple(
        WithinRun(name=name, reference=level, best=f"{level}.{name}") for name in names
    )


def of_all_runs(dial: Dial, one_in: int) -> Dial:
    """Count further runs of an open dial that one run in ``one_in`` tells of, the others included.

    Args:
        dial: A dial whose further runs are those that tell of it.
        one_in: Number of runs of which one tells of the dial.
    """
    decides, between = dial.runs_to_decide, dial.more_runs
    return replace(
        dial,
        runs_to_decide=None if decides is None else decides * one_in,
        more_runs=None if between is None else (between[0] * one_in, between[1] * one_in),
    )


def for_the_advised_average(
    dials: Sequence[Dial], what: Factors, plan: Plan, best: Recipe
) -> tuple[Dial, ...]:
    """Leave what was judged on another average than the one that is advised.

    Args:
        dials: Decided dials.
        what: Factors of the experiment.
        plan: The plan.
        best: The recipe that was compared with the reference.
    """
    of_averages = [factor for factor in what.within if strength(factor.name).needs_average]
    if not of_averages:
        return tuple(dials)
    average = STRENGTHS[EMA_FACTOR]
    (advised,) = (advised_value(dial)[0] for dial in dials if dial.strength == EMA_FACTOR)
    remarks = {}
    for factor in of_averages:
        judged_on = average.read(best if factor.reference == "best" else plan.reference)
        effective = [to_effective(EMA_FACTOR, decay, plan.task) for decay in (advised, judged_on)]
        if advised == average.off:
            remarks[factor.name] = "the advised recipe has no average"
        elif average.differs(effective[0], effective[1], plan.task):
            remarks[factor.name] = (
                f"it was measured on the average with a decay of {raw(judged_on)}, which the "
                "advised recipe does not have"
            )
    return tuple(
        _not_judged(dial, remarks[dial.strength]) if dial.strength in remarks else dial
        for dial in dials
    )


def with_other_statistics(dials: Sequence[Dial], what: Factors) -> dict[str, str]:
    """Say by strength why it was not judged on the statistics of the average that are advised.

    An adjustment of logits is measured with the reference's treatment of BatchNorm's statistics
    only, so that nothing is known of it where the other treatment is advised.

    Args:
        dials: Decided dials, after `for_the_advised_average`.
        what: Factors of the experiment.
    """
    needing = {f.name for f in what.within if strength(f.name).needs_average}
    moved = [
        (dial.strength, *(value_text(dial.strength, v) for v in (dial.reference, value)))
        for dial in dials
        if dial.strength in needing and (value := advised_value(dial)[0]) != dial.reference
    ]
    of_outputs = [f.name for f in what.within if f != AVERAGES and f.name not in needing]
    return {
        name: f"it was measured with {setting} {held}, while {advised} is advised: run again with "
        "that in the reference to judge it"
        for setting, held, advised in moved
        for name in of_outputs
    }


def left_open(dials: Sequence[Dial], remarks: Mapping[str, str]) -> tuple[Dial, ...]:
    """Make the dials of which there is a remark inconclusive; their measured effects are kept."""
    return tuple(
        replace(
            dial,
            turn="inconclusive",
            recommended=dial.reference,
            recommended_effective=dial.reference_effective,
            decided_by=None,
            runs_to_decide=None,
            remark=remarks[dial.strength],
            selected=None,
            matters_less_than=None,
            more_runs=None,
        )
        if dial.strength in remarks
        else dial
        for dial in dials
    )


def _not_judged(dial: Dial, remark: str) -> Dial:
    return replace(
        dial,
        turn="leave",
        recommended=dial.reference,
        recommended_effective=dial.reference_effective,
        effect={},
        decided_by=None,
        num_runs=0,
        runs_to_decide=None,
        remark=remark,
        selected=None,
        matters_less_than=None,
        more_runs=None,
    )
