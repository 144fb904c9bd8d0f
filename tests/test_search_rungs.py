"""Successive halving keeps the best, once per trial, whatever the scores are."""

import math
import random

import pytest

from search.rungs import Rungs, rung_epochs


@pytest.mark.parametrize(
    ("epochs", "grace_period", "reduction_factor", "expected"),
    [
        (15, 5, 3, (5,)),
        (16, 5, 3, (5, 15)),
        (100, 1, 3, (1, 3, 9, 27, 81)),
        (81, 1, 3, (1, 3, 9, 27)),
        (8, 8, 2, ()),
        (1, 1, 2, ()),
    ],
)
def test_rungs_lie_below_full_length_by_powers(
    epochs: int, grace_period: int, reduction_factor: int, expected: tuple[int, ...]
) -> None:
    assert (
        rung_epochs(epochs, grace_period=grace_period, reduction_factor=reduction_factor)
        == expected
    )


@pytest.mark.parametrize(("grace_period", "reduction_factor"), [(0, 3), (1, 1)])
def test_impossible_rungs_are_refused(grace_period: int, reduction_factor: int) -> None:
    with pytest.raises(ValueError, match="must hold"):
        rung_epochs(10, grace_period=grace_period, reduction_factor=reduction_factor)


@pytest.mark.parametrize("reduction_factor", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_trial_passes_exactly_if_it_is_among_the_best_share_so_far(
    seed: int, reduction_factor: int
) -> None:
    rungs = Rungs((5,), reduction_factor=reduction_factor)
    scores = random.Random(seed).sample(range(1000), 40)
    for i, score in enumerate(scores):
        better = sum(other > score for other in scores[:i])
        expected = better < max(1, (i + 1) // reduction_factor)
        assert rungs.passes(f"t{i}", 5, float(score)) == expected


def test_between_rungs_every_trial_passes_and_leaves_no_trace() -> None:
    rungs = Rungs((5,), reduction_factor=2)
    assert rungs.passes("good", 5, 1.0)
    assert rungs.passes("bad", 4, -100.0)
    assert rungs.scores[5] == {"good": 1.0}


def test_asking_again_counts_a_trial_once() -> None:
    rungs = Rungs((5,), reduction_factor=2)
    for _ in range(10):
        rungs.passes("a", 5, 1.0)
    assert rungs.scores[5] == {"a": 1.0}
    assert not rungs.passes("b", 5, 0.5)


@pytest.mark.parametrize("worthless", [math.nan, -math.inf])
def test_a_score_that_is_no_number_never_passes_and_stops_nobody_else(worthless: float) -> None:
    rungs = Rungs((5,), reduction_factor=2)
    assert not rungs.passes("broken", 5, worthless)
    assert rungs.passes("first", 5, -1.0)
    assert rungs.passes("second", 5, 0.0)
