"""List the trials that the attribute and confirm stages run."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import FEW_SEEDS
from search.records.journal import Journal
from search.records.metrics import Metric, decided_by
from search.records.trials import TrialSpec
from search.stages.fresh_seeds import fresh_seed
from search.stages.listed_stage import ListedStage
from search.verdict.design import AVERAGES, Factors, WithinRun, blocks_per_look, cells, factors
from search.verdict.fit.evidence import LONGER, TIMES_LONGER
from spaces.recipe import Recipe
from spaces.strengths.registry import strength

NO_AVERAGE = "none"
"""Name of the level at which a run's raw weights are measured, beside its two averages."""


def experiment_factors(plan: Plan, best: Recipe) -> Factors:
    """Find the strengths and extra axes in which reference and best differ noticeably."""
    return factors(plan.dial_values(plan.reference), plan.dial_values(best), plan.task)


def attribute_stage(
    journal: Journal,
    plan: Plan,
    config: RunConfig,
    *,
    best: Recipe,
    is_decided: Callable[[], bool],
    deadline: float | None,
) -> ListedStage:
    """Make the stage that runs the factorial between reference and best, block by block.

    It ends when every dial is decided, at the largest number of blocks, or at the deadline.

    Args:
        journal: Memory of the run.
        plan: The plan.
        config: What was asked.
        best: Recipe that is compared with the reference.
        is_decided: Tells whether further blocks would hardly turn another dial.
        deadline: Time of `time.monotonic` after which no further block starts, or None.
    """
    what = experiment_factors(plan, best)
    size = blocks_per_look(len(what.trajectory))

    def round_of_blocks(number: int) -> Sequence[TrialSpec]:
        if not what.names:
            return []
        specs = [
            spec
            for block in range(number * size, (number + 1) * size)
            for spec in block_specs(plan, best, what, block=block, seed=config.seed)
        ]
        # Finish a round that has begun: the statistics look at the data after whole rounds only.
        has_begun = any(spec.trial_id in journal.trials for spec in specs)
        if number >= config.min_blocks and not has_begun:
            is_late = deadline is not None and time.monotonic() > deadline
            if number >= config.max_blocks or is_late or is_decided():
                return []
        return specs

    begun = {trial.block // size for trial in journal.of_stage("attribute")}
    num_sure = max(config.min_blocks, len(begun))
    return ListedStage("attribute", journal, round_of_blocks, num_sure=num_sure)


def block_specs(
    plan: Plan, best: Recipe, what: Factors, *, block: int, seed: int
) -> list[TrialSpec]:
    """List the runs of one block; all share a fresh split, initial weights and batch order."""
    block_seed = fresh_seed(seed, stage="attribute", number=block)
    layout = cells(what.trajectory, block=block)
    ema_levels = {
        "reference": plan.reference.strengths.ema_decay,
        "best": best.strengths.ema_decay,
        NO_AVERAGE: 0.0,
    }
    further = [factor for factor in what.within if factor != AVERAGES]
    tried = plan.dial_values(best)
    # Strengths that do not differ noticeably keep the reference's value in every cell, and so does
    # what is measured at its other value besides. Settings without a dial (a searched learning
    # rate, say) have the best's value in every cell.
    kept = (*what.unchanged, *(factor.name for factor in further))
    return [
        TrialSpec(
            stage="attribute",
            number=block * len(layout) + i,
            role="cell",
            recipe=replace(
                plan.space.copied(
                    best,
                    plan.reference,
                    [*kept, *(name for name, level in levels.items() if level < 0)],
                ),
                seed=block_seed,
            ),
            split_seed=block_seed,
            ema_levels=ema_levels,
            within_levels={
                measured: tried[factor.name]
                for factor in further
                for measured in _measured_at(factor, ema_levels)
            },
            block=block,
            levels=levels,
        )
        for i, levels in enumerate(layout)
    ]


def _measured_at(factor: WithinRun, levels: Iterable[str]) -> list[str]:
    """Name the measurements of a factor's other value.

    What needs no average is measured on all weights, which costs nothing: which of them it is
    judged on is known when the dials are (`search.stages.within_run.as_advised`).
    """
    if strength(factor.name).needs_average:
        return [factor.best]
    return [f"{level}.{factor.name}" for level in levels]


def confirm_stage(
    journal: Journal,
    plan: Plan,
    config: RunConfig,
    *,
    best: Recipe,
    advised: Recipe,
    asks_for_longer: Callable[[], bool] = lambda: False,
) -> ListedStage:
    """Make the stage that measures the recipes of `confirm_roles` on the test split.

    Args:
        journal: Memory of the run.
        plan: The plan.
        config: What was asked.
        best: Recipe that was held against the reference.
        advised: Recipe that the dials describe.
        asks_for_longer: Whether these runs leave open if the recipes are undertrained; called when
            all have ended. Then one run of `longer_recipe` follows.
    """

    def batch(number: int) -> Sequence[TrialSpec]:
        if number == 0:
            specs = confirm_specs(plan, config, best=best, advised=advised)
        elif number == 1 and asks_for_longer():
            specs = [longer_spec(plan, config)]
        else:
            return []
        known = [trial.spec for trial in journal.of_stage("confirm")]
        return with_soups(numbered(specs, known), known, decided_by(config.metric))

    return ListedStage("confirm", journal, batch)


def with_soups(
    specs: Sequence[TrialSpec], known: Sequence[TrialSpec], metric: Metric
) -> list[TrialSpec]:
    """Let the advised recipe's run average its weights with those that the others of a seed lend.

    Args:
        specs: Runs of the confirm stage.
        known: Those that were begun already, which stay as they were.
        metric: The metric that decides, by which the soup is chosen on validation images.
    """
    begun = {spec.trial_id for spec in known}

    def soup_of(spec: TrialSpec) -> tuple[str, ...]:
        if not spec.with_readings or spec.trial_id in begun:
            return spec.soup_of
        others = [other for other in specs if other.block == spec.block and other is not spec]
        # All or none: a run that an earlier version began lends nothing.
        return tuple(o.trial_id for o in others) if all(o.lends_weights for o in others) else ()

    return [
        replace(spec, soup_of=found, soup_metric=metric.name) if (found := soup_of(spec)) else spec
        for spec in specs
    ]


def numbered(specs: Sequence[TrialSpec], known: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Those runs that are known already as they were, and the others numbered after them.

    A run that is topped up may change its mind on a recipe: what was run of others stays, and no
    number means two runs.
    """
    by_recipe = {spec.recipe: spec for spec in known}
    numbers = count(1 + max((spec.number for spec in known), default=-1))
    return [
        by_recipe[spec.recipe] if spec.recipe in by_recipe else replace(spec, number=next(numbers))
        for spec in specs
    ]


def longer_recipe(plan: Plan) -> Recipe:
    """Return everything off, which fits fastest, with `TIMES_LONGER` times the epochs."""
    off = plan.anchors["off"]
    return replace(off, epochs=TIMES_LONGER * off.epochs)


def longer_spec(plan: Plan, config: RunConfig) -> TrialSpec:
    """Return the run that tells whether longer training would help.

    It has the first fresh seed and its split, so that it is paired with a run of every recipe, and
    looks at validation images only: what it shows decides.
    """
    seed = fresh_seed(config.seed, stage="confirm", number=0)
    return TrialSpec(
        stage="confirm",
        number=0,
        role=LONGER,
        recipe=replace(longer_recipe(plan), seed=seed),
        split_seed=seed,
        block=0,
    )


def confirm_specs(
    plan: Plan, config: RunConfig, *, best: Recipe, advised: Recipe | None = None
) -> list[TrialSpec]:
    """List the runs of the confirm stage, seed by seed.

    The answer is about the reference and the advised recipe: these run with all seeds, the others
    with the first `FEW_SEEDS`. Where no recipe is advised yet, all run with all seeds.
    """
    # Equal recipes are run once: `same_role` says which run stands for which role.
    stands_in = same_role(plan, best, advised)
    roles = {
        role: recipe
        for role, recipe in confirm_roles(plan, best, advised).items()
        if role == stands_in[role]
    }
    often = set(roles)
    is_advised = {stands_in["advised"]} if advised is not None else set()
    if advised is not None:
        often = {stands_in[role] for role in ("reference", "advised")}
    makes_soup = bool(is_advised) and all(recipe.pretrained for recipe in roles.values())
    planned = [
        (i, role)
        for i in range(config.confirm_seeds)
        # Last of a seed, if its weights are averaged with those of the others.
        for role in sorted(roles, key=lambda role: makes_soup and role in is_advised)
        if role in often or i < FEW_SEEDS
    ]
    numbers = range(config.confirm_seeds)
    seeds = [fresh_seed(config.seed, stage="confirm", number=number) for number in numbers]
    return [
        TrialSpec(
            stage="confirm",
            number=number,
            role=role,
            recipe=replace(roles[role], seed=seeds[i]),
            split_seed=seeds[i],
            evaluate_on="test",
            block=i,
            # Any of them may be exported and become the champion. Its weights are those of the
            # first seed: chosen before any result is known, so that no lucky seed is selected.
            keep_weights=i == 0,
            # Where all recipes are run, and start from the same weights.
            lends_weights=makes_soup and i < FEW_SEEDS and role not in is_advised,
            # Once per seed, with the recipe that they are held against.
            with_readings=role in is_advised,
            with_frozen=role in is_advised and roles[role].pretrained,
        )
        for number, (i, role) in enumerate(planned)
    ]


def confirm_roles(plan: Plan, best: Recipe, advised: Recipe | None = None) -> dict[str, Recipe]:
    """Return the recipes that are measured on the test split, by role."""
    roles = {
        "reference": plan.reference,
        "best": best,
        "off": plan.anchors["off"],
        "scaled": plan.anchors["scaled"],
    }
    return roles if advised is None else {**roles, "advised": advised}


def same_role(plan: Plan, best: Recipe, advised: Recipe | None = None) -> dict[str, str]:
    """Map each role to the first role with an equal recipe: to itself, unless two are equal."""
    roles = confirm_roles(plan, best, advised)
    return {
        role: next(other for other, same in roles.items() if same == recipe)
        for role, recipe in roles.items()
    }
