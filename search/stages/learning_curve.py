"""List the runs on half of the training images, and compare them with those on all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import LEARNING_CURVE
from search.records.journal import Journal
from search.records.metrics import decided_by
from search.records.trials import Trial, TrialSpec
from search.stages.experiment import block_specs, experiment_factors, numbered
from search.stages.fresh_runs import read_result
from search.stages.fresh_seeds import fresh_seed
from search.stages.simpler import without_average
from search.stages.within_run import as_advised
from search.verdict.confirmation import confirm_metrics, paired_difference
from search.verdict.design import AVERAGES, EMA_FACTOR, WithinRun, blocks_per_look
from search.verdict.effects import Effect, Run, estimate_effects, trajectory_level
from search.verdict.learning_curve import TIMES, dial_at_sizes, judged_on, learning_curve
from search.verdict.schema import Dial, DialAtSizes, Estimate, LearningCurve
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS

CELL, ADVISED = "cell", "advised"
"""Roles of its runs."""


def require_enough_images(plan: Plan) -> None:
    """Raise if half of the training images are too few to have every class.

    Raises:
        InputError: If there are fewer than two for each class.
    """
    least = TIMES * plan.task.num_classes
    if plan.data.num_train < least:
        raise InputError(
            f"`learning_curve` needs {least} training images, two of each class, but there are "
            f"{plan.data.num_train}."
        )


def split_seeds(plan: Plan, config: RunConfig) -> list[int]:
    """List the seeds of the splits that its runs have where all settings differ.

    Where fewer do, the first round of the experiment may have further blocks.
    """
    num_strengths = sum(name != EMA_FACTOR for name in plan.space.dial_names)
    again = config.confirm_seeds if "confirm" in config.stages else 0
    numbers = {"attribute": blocks_per_look(num_strengths), "confirm": again}
    return [
        fresh_seed(config.seed, stage=stage, number=number)
        for stage, count in numbers.items()
        for number in range(count)
    ]


def learning_curve_specs(
    plan: Plan, config: RunConfig, *, tried: Recipe, advised: Recipe
) -> list[TrialSpec]:
    """List the runs: the first round of the experiment, then the advised recipe's confirmation.

    They are as there, with the same recipes, seeds, splits and images to measure on, and train on
    half of the images, those of a split the same for all its runs. They train for as many steps as
    there, and so for more epochs: a run that is half as long differs in more than its images.

    Args:
        plan: The plan.
        config: What was asked.
        tried: Recipe that the experiment compares with the reference.
        advised: Recipe that the dials describe.
    """
    what = experiment_factors(plan, tried)
    of_cells = [
        replace(spec, role=CELL)
        for block in range(blocks_per_look(len(what.trajectory)) if what.names else 0)
        for spec in block_specs(plan, tried, what, block=block, seed=config.seed)
    ]
    seeds = range(config.confirm_seeds if "confirm" in config.stages else 0)
    of_advised = [
        TrialSpec(
            stage=LEARNING_CURVE,
            number=0,
            role=ADVISED,
            recipe=replace(advised, seed=seed),
            split_seed=seed,
            evaluate_on="test",
            block=i,
        )
        for i in seeds
        for seed in [fresh_seed(config.seed, stage="confirm", number=i)]
    ]
    return [
        replace(
            spec,
            stage=LEARNING_CURVE,
            number=number,
            recipe=on_half(plan, spec.recipe),
            num_train=plan.data.num_train // TIMES,
        )
        for number, spec in enumerate([*of_cells, *of_advised])
    ]


def on_half(plan: Plan, recipe: Recipe) -> Recipe:
    """Return a recipe with the epochs that make as many steps on half of the training images.

    Where half of them are fewer than a batch, they are the batch: a run then differs in that too.
    """
    half = plan.data.num_train // TIMES
    steps = half // min(recipe.batch_size, half)
    return replace(recipe, epochs=max(1, round(plan.task.total_steps / steps)))


def numbered_specs(journal: Journal, specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Number the runs after those of the stage that were begun, which stay as they were."""
    return numbered(specs, [trial.spec for trial in journal.of_stage(LEARNING_CURVE)])


def learning_curve_of(
    journal: Journal,
    plan: Plan,
    config: RunConfig,
    *,
    runs: Sequence[Run],
    at_half: Sequence[Run],
    tried: Recipe,
    advised: Recipe,
    dials: Sequence[Dial],
) -> LearningCurve | None:
    """Compare half of the training images with all of them; None before any run has ended.

    Args:
        journal: Memory of the run.
        plan: The plan.
        config: What was asked.
        runs: Runs of the experiment.
        at_half: Its first round on half of the images.
        tried: Recipe that the experiment compares with the reference.
        advised: Recipe that the dials describe.
        dials: The dials of the experiment.
    """
    trials = journal.of_stage(LEARNING_CURVE)
    first = decided_by(config.metric)
    pairs = _pairs(trials, journal.of_stage("confirm"), plan, advised)
    gain: Mapping[str, Estimate] = {}
    if pairs:
        num = plan.data.num_test
        results = [
            (read_result(config.path, half, num), read_result(config.path, all_images, num))
            for half, all_images in pairs
        ]
        groups = np.array(plan.data.test_groups) if plan.data.test_groups else None
        gain = {
            name: paired_difference(results, name, num, groups) for name in confirm_metrics(first)
        }
    followed: tuple[DialAtSizes, ...] = ()
    if runs and at_half:
        followed = _followed(runs, at_half, plan, config, tried=tried, advised=advised, dials=dials)
    if not gain and not followed:
        return None
    return learning_curve(
        followed,
        gain,
        num_half=plan.data.num_train // TIMES,
        num_all=plan.data.num_train,
        seeds=len(pairs),
        metric=first,
    )


def _pairs(
    at_half: Sequence[Trial], confirmed: Sequence[Trial], plan: Plan, advised: Recipe
) -> list[tuple[Trial, Trial]]:
    """Pair the advised recipe's runs on half and on all of the images by seed."""

    def by_seed(trials: Sequence[Trial], recipe: Recipe) -> dict[int, Trial]:
        return {
            trial.spec.recipe.seed: trial
            for trial in trials
            if trial.is_full_length
            and trial.spec.evaluate_on == "test"
            and replace(trial.spec.recipe, seed=recipe.seed) == recipe
        }

    half, all_images = by_seed(at_half, on_half(plan, advised)), by_seed(confirmed, advised)
    return [(half[seed], all_images[seed]) for seed in half if seed in all_images]


def _followed(
    runs: Sequence[Run],
    at_half: Sequence[Run],
    plan: Plan,
    config: RunConfig,
    *,
    tried: Recipe,
    advised: Recipe,
    dials: Sequence[Dial],
) -> tuple[DialAtSizes, ...]:
    """Estimate the effects with half and all of the images, and extrapolate each."""
    first, what = decided_by(config.metric), experiment_factors(plan, tried)
    # On the same weights with half and with all of the images, or they would differ in more.
    level = trajectory_level(runs, ema=AVERAGES in what.within, metric=first)
    moved = {factor.name for factor in as_advised(runs, what, dials, plan, tried)[1]}
    values, values_advised = plan.dial_values(tried), plan.dial_values(advised)
    found = []
    for dial in dials:
        name = dial.strength
        if name not in what.names or not dial.effect:
            continue
        # A turn to no average is followed as such, whatever the best's average was.
        is_off = name == EMA_FACTOR and (
            dial.recommended == STRENGTHS[EMA_FACTOR].off != dial.reference
        )

        def measured(
            of: Sequence[Run], name: str = name, is_off: bool = is_off
        ) -> tuple[Sequence[Run], tuple[WithinRun, ...]]:
            if name in moved:  # In the runs and on the weights that its dial was decided by.
                return as_advised(of, what, dials, plan, tried)
            return without_average(of, instead_of="best") if is_off else of, what.within

        def effect(of: tuple[Sequence[Run], tuple[WithinRun, ...]], dial: Dial = dial) -> Effect:
            effects = estimate_effects(
                of[0], what.trajectory, within=of[1], first=first, level=level
            )
            return effects[dial.strength][judged_on(dial)]

        all_runs, half_runs = measured(runs), measured(at_half)
        both = {run.block for run in half_runs[0]}
        paired = [run for run in all_runs[0] if run.block in both]
        one = dial_at_sizes(
            dial,
            effect(all_runs),
            effect((paired, all_runs[1])),
            effect(half_runs),
            tried=dial.recommended if is_off else values[name],
            advised=values_advised[name],
            blocks=len({run.block for run in all_runs[0]}),
            both=len(both),
        )
        found += [one] if one is not None else []
    return tuple(found)
