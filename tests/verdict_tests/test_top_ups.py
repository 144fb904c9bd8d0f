"""Experiments that are topped up: the simulation looks as the product does, and turns stay."""

import numpy as np
import pytest

from benchmarks.planted.simulation import (
    FACTORS,
    SCHEDULE,
    Condition,
    _block,
    experiment,
    newest_look,
)
from search.verdict.effects import Run
from search.verdict.looking import Schedule, looks_at, rounds_of


def test_the_simulated_looks_are_those_of_the_product() -> None:
    condition = Condition(name="2 points", gains={"label_smoothing": 2.0})
    rng = np.random.default_rng(0)
    runs: list[Run] = [run for block in range(2) for run in _block(condition, block, rng)]
    looks = [newest_look(runs, SCHEDULE)]
    topped_up = Schedule(first=2, plans=(3, 5))
    for block in (2, 3, 4):
        runs += _block(condition, block, rng)
        looks.append(newest_look(runs, topped_up))
    looks[0] = newest_look([run for run in runs if run.block < 2], topped_up)
    # As text, for what was not measured is NaN, which equals nothing.
    assert repr(tuple(looks)) == repr(looks_at(runs, rounds_of(FACTORS), topped_up))


@pytest.mark.parametrize("seed", range(3))
def test_what_was_turned_before_a_top_up_stays_turned(seed: int) -> None:
    condition = Condition(name="3 points", gains={"label_smoothing": 3.0, "weight_decay": 1.0})
    before = experiment(condition, seed)
    after = experiment(condition, seed, top_ups=(6,))
    assert before.turned <= after.turned
    assert after.num_runs == 48 or after.num_runs == before.num_runs
