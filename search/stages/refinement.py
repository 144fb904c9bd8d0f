"""List the runs that try values between two ends of a turned strength, and compare them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import BETWEEN, REFINE
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec
from search.stages.experiment import numbered
from search.stages.fresh_seeds import fresh_seed
from search.stages.listed_stage import ListedStage
from search.verdict.refinement import refined
from search.verdict.schema import Dial, Refined
from spaces.axes import LogAxis, ZeroAxis
from spaces.recipe import Recipe
from spaces.units import limits, to_effective, to_raw


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """The values of one strength that are run, all else as in the advised recipe.

    Attributes:
        strength: Name of the strength.
        metric: Reported name of the metric that turned it.
        recipes: By value: the advised one first, the reference's last.
    """

    strength: str
    metric: str
    recipes: Mapping[float, Recipe]


def ladders(
    plan: Plan, config: RunConfig, dials: Sequence[Dial], advised: Recipe
) -> tuple[Ladder, ...]:
    """Choose the values to run of each strength that is to be refined and was changed.

    Args:
        plan: The plan.
        config: What was asked.
        dials: The dials of the experiment.
        advised: Recipe that the dials describe.
    """
    held = plan.dial_values(advised)
    return tuple(
        Ladder(
            strength=dial.strength,
            # Runs that diverge decide a dial too, by no metric.
            metric=dial.decided_by
            if dial.decided_by and "/" in dial.decided_by
            else dial.judged_by,
            recipes={
                value: plan.space.apply(advised, {dial.strength: value})
                for value in values_between(
                    plan, dial.strength, held[dial.strength], dial.reference
                )
            },
        )
        for dial in dials
        if dial.strength in config.refine and held[dial.strength] != dial.reference
    )


def values_between(plan: Plan, name: str, advised: float, reference: float) -> tuple[float, ...]:
    """Return the advised value, `BETWEEN` values towards the reference's, and that one.

    They are evenly spaced on the axis on which the strength is searched. On a logarithmic one,
    which does not come down to 0, the first step from 0 leads to its low end, or to a tenth of the
    other value if that is less.
    """
    axis = plan.space.axes[name]
    inner = axis.inner if isinstance(axis, ZeroAxis) else axis
    lowest, highest = limits(name, plan.task)
    ends = [to_effective(name, value, plan.task) for value in (advised, reference)]
    # A reference of a longer run may be more than this one can carry out.
    start, end = (min(max(value, lowest), highest) for value in ends)
    shares = [i / (BETWEEN + 1) for i in range(1, BETWEEN + 1)]
    if isinstance(inner, LogAxis):
        floor = min(inner.low, max(start, end) / 10.0)
        start, end = (math.log(value or floor) for value in (start, end))
        if min(ends) == 0.0:
            shares = [i / BETWEEN for i in range(BETWEEN)]
            shares = shares if ends[0] == 0.0 else [1.0 - share for share in reversed(shares)]
        between = [math.exp((1.0 - s) * start + s * end) for s in shares]
    else:
        between = [(1.0 - s) * start + s * end for s in shares]
    raw = [to_raw(name, min(max(value, lowest), highest), plan.task) for value in between]
    # Three digits, as somebody would type them.
    return tuple(dict.fromkeys((advised, *(float(f"{value:.3g}") for value in raw), reference)))


def refine_stage(
    journal: Journal, plan: Plan, config: RunConfig, *, dials: Sequence[Dial], advised: Recipe
) -> ListedStage:
    """Make the stage that runs the values of `ladders`, all with the same fresh seeds."""

    def batch(number: int) -> Sequence[TrialSpec]:
        if number > 0:
            return []
        specs = refine_specs(config, ladders(plan, config, dials, advised))
        return numbered(specs, [trial.spec for trial in journal.of_stage(REFINE)])

    return ListedStage(REFINE, journal, batch)


def refine_specs(config: RunConfig, found: Sequence[Ladder]) -> list[TrialSpec]:
    """List the runs seed by seed; recipes that several strengths share are run once."""
    recipes = dict.fromkeys(recipe for ladder in found for recipe in ladder.recipes.values())
    return [
        TrialSpec(
            stage=REFINE,
            number=0,
            role="value",
            recipe=replace(recipe, seed=seed),
            split_seed=seed,
            block=i,
        )
        for i in range(config.confirm_seeds)
        for seed in [fresh_seed(config.seed, stage=REFINE, number=i)]
        for recipe in recipes
    ]


def refinements(
    trials: Sequence[Trial],
    plan: Plan,
    config: RunConfig,
    *,
    dials: Sequence[Dial],
    advised: Recipe,
) -> tuple[Refined, ...]:
    """Compare the values that have been run so far.

    Args:
        trials: Of the refine stage.
        plan: The plan.
        config: What was asked.
        dials: The dials of the experiment.
        advised: Recipe that the dials describe.
    """
    found = []
    for ladder in ladders(plan, config, dials, advised):
        by_value = {
            value: [t for t in trials if replace(t.spec.recipe, seed=recipe.seed) == recipe]
            for value, recipe in ladder.recipes.items()
        }
        compared = refined(
            ladder.strength,
            {value: _on_seeds(of, ladder.metric) for value, of in by_value.items()},
            metric=ladder.metric,
            effective={v: to_effective(ladder.strength, v, plan.task) for v in by_value},
            diverged={v for v, of in by_value.items() if any(t.status == "diverged" for t in of)},
        )
        if compared is not None:
            found.append(compared)
    return tuple(found)


def _on_seeds(trials: Sequence[Trial], metric: str) -> dict[int, float]:
    return {
        trial.spec.recipe.seed: trial.records[-1].metrics[metric]
        for trial in trials
        if trial.is_full_length
    }
