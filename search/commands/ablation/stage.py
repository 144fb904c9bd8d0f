"""Trials of an ablation: every variant once in every block."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.journal import Journal
from search.records.trials import TrialSpec
from search.stages.fresh_seeds import fresh_seed
from search.stages.listed_stage import ListedStage
from spaces.recipe import Recipe

STAGE = "ablate"


def ablate_stage(
    journal: Journal, plan: Plan, config: RunConfig, recipes: Mapping[str, Recipe]
) -> ListedStage:
    """Make the stage that runs every recipe once per block, independent of any results.

    Args:
        journal: Memory of the run.
        plan: The plan.
        config: The run's settings.
        recipes: Recipes by role.
    """

    def batch(block: int) -> Sequence[TrialSpec]:
        if block >= config.seeds:
            return []
        return block_of(recipes, stage=STAGE, block=block, seed=config.seed)

    return ListedStage(STAGE, journal, batch, num_sure=config.seeds)


def block_of(
    recipes: Mapping[str, Recipe], *, stage: str, block: int, seed: int
) -> list[TrialSpec]:
    """List the trials of a block: all recipes on one fresh split, initial weights, batch order.

    Args:
        recipes: Recipes by role.
        stage: The stage that runs them.
        block: Its number, from 0.
        seed: Seed of the whole run.
    """
    block_seed = fresh_seed(seed, stage=stage, number=block)
    # In another order in each block, so that other load on the machine slows no recipe always.
    roles = list(recipes)
    random.Random(block_seed).shuffle(roles)
    return [
        TrialSpec(
            stage=stage,
            number=block * len(recipes) + i,
            role=role,
            recipe=replace(recipes[role], seed=block_seed),
            split_seed=block_seed,
            block=block,
        )
        for i, role in enumerate(roles)
    ]
