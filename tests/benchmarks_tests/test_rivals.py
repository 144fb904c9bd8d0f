"""Alternatives on simulated experiments: what they must find without noise, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.planted.rivals import (
    CONDITIONS,
    NAMES,
    RIVALS,
    contest,
    draw_split,
    gain,
    measured,
)
from benchmarks.planted.simulation import SMOOTHING, TRAJECTORY, Condition

GAINS = {SMOOTHING: 3.0, TRAJECTORY[1]: -1.0, TRAJECTORY[3]: 2.0}
QUIET = Condition(
    name="no noise",
    gains=GAINS,
    run=1e-6,
    block=1e-6,
    split=0.0,
    ema_gain=1.0,
    ema_run=1e-6,
)
HELPFUL = {SMOOTHING, TRAJECTORY[3], "ema_decay"}


@pytest.mark.parametrize("num_runs", [16, 24, 32])
@pytest.mark.parametrize("name", list(RIVALS))
def test_without_noise_every_way_finds_the_largest_culprit_and_no_side_has_more_runs(
    name: str, num_runs: int
) -> None:
    turned, used = RIVALS[name](QUIET, num_runs, np.random.default_rng(0))
    assert SMOOTHING in turned
    assert used <= num_runs
    if "factorial" in name or "one at a time" in name:
        noise_alone = {TRAJECTORY[2]}
        assert turned - noise_alone == HELPFUL


def test_runs_are_what_the_condition_says_of_their_levels() -> None:
    rng = np.random.default_rng(0)
    split = draw_split(QUIET, rng)
    everything_on, reference = measured(QUIET, split, np.array([[1.0] * 5, [-1.0] * 5]), rng)
    assert everything_on - reference == pytest.approx(3.0 - 1.0 + 2.0 + 1.0, abs=1e-4)


def test_effects_of_a_split_differ_as_the_condition_says() -> None:
    rng = np.random.default_rng(0)
    condition = replace(QUIET, run=2.0, split=0.5)
    slopes = np.array([draw_split(condition, rng).slopes for _ in range(2000)])
    assert slopes.std(axis=0) == pytest.approx([1.0] * 4, abs=0.08)
    assert slopes.mean(axis=0) == pytest.approx([3.0, -1.0, 0.0, 2.0], abs=0.1)


def test_a_contest_gives_all_sides_the_same_problem_and_counts_what_is_shipped() -> None:
    condition = next(c for c in CONDITIONS if c.name == "5 points")
    said = contest(condition, 0)
    assert set(said) == {"this project", *RIVALS}
    (ours,) = said["this project"]
    assert SMOOTHING in ours.turned <= ours.shipped
    assert all(one.num_runs <= ours.num_runs for of in said.values() for one in of)
    assert gain(condition, {SMOOTHING, "warmup_fraction"}) == 5.0
    assert gain(condition, ()) == 0.0
    assert set(NAMES) >= ours.shipped
