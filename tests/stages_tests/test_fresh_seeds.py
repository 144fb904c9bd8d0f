"""Runs that must not share a seed do not, whatever stage they are of."""

from itertools import product

from search.records.trials import STAGES
from search.stages.fresh_seeds import fresh_seed
from spaces.seeds import drawn_seed


def test_no_two_stages_blocks_or_runs_of_the_tool_share_a_seed() -> None:
    # Runs of the learning curve are paired with others, whose seeds they have.
    stages = [stage for stage in STAGES if stage != "learning_curve"]
    asked = list(product((0, 1, 7), stages, (0, 1, 500, 999)))
    made = {fresh_seed(seed, stage=stage, number=number) for seed, stage, number in asked}
    assert len(made) == len(asked)


def test_a_fresh_seed_is_no_seed_that_an_epoch_of_a_trial_draws() -> None:
    """A trial of the search trains with the user's seed, and draws from it in each epoch."""
    for seed in (0, 1, 7):
        fresh = fresh_seed(seed, stage="search", number=0)
        assert fresh not in {drawn_seed(seed, epoch) for epoch in range(1000)}
        assert fresh > seed
