"""Which trials an ablation runs: every variant once in every block."""

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
    """Every recipe once per block; no result decides on what is run next.

    Args:
        journal: Memory of the run.
        plan: The plan.
        config: What was asked.
        recipes: What to run, by role.
    """

    def batch(block: int) -> Sequence[TrialSpec]:
        if block >= config.seeds:
            return []
        return block_of(recipes, stage=STAGE, block=block, seed=config.seed)

    return ListedStage(STAGE, journal, batch, num_sure=config.seeds)


def block_of(
    recipes: Mapping[str, Recipe], *, stage: str, block: int, seed: int
) -> list[TrialSpec]:
    """One block: all recipes on the same fresh split, initial weights and batch order.

    Args:
        recipes: By role.
        stage: The stage that runs them.
        block: Its number, from 0.
        seed: Seed of the run of the tool.
    """
    block_seed = fresh_seed(seed, stage=stage, number=block)
    # In another order in each block: what else the machine does must not always hit the same one.
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
