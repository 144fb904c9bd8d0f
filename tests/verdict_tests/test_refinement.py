"""The range in which a turned strength may stand: comparisons, their coverage, and the words."""

import math

import numpy as np
import pytest

from search.verdict.refinement import refined
from search.verdict.schema import Refined

VALUES = (0.0, 0.0333, 0.0667, 0.1)
EFFECTIVE = {value: value for value in VALUES}


def measured(costs: tuple[float, ...], *, noise: float, seed: int, seeds: int = 5) -> Refined:
    """Top-1 that falls by ``costs`` beside the advised value, in blocks that differ much more."""
    rng = np.random.default_rng(seed)
    blocks = rng.normal(0.8, 0.05, seeds)
    found = refined(
        "label_smoothing",
        {
            value: {i: blocks[i] - cost + rng.normal(0.0, noise) for i in range(seeds)}
            for value, cost in zip(VALUES, costs, strict=True)
        },
        metric="val/top1",
        effective=EFFECTIVE,
    )
    assert found is not None
    return found


def test_the_range_ends_before_the_first_value_that_is_worse() -> None:
    found = measured((0.0, 0.0, 0.05, 0.1), noise=0.001, seed=0)
    assert found.as_good == (0.0, 0.0333)
    assert [one.value for one in found.tried] == [0.0333, 0.0667, 0.1]
    assert "anything from 0 to 0.0333 is as good as 0 as far as 5 seeds can tell" in found.sentence
    assert "worse: 0.0667 (-5." in found.sentence


def test_a_value_beyond_a_worse_one_is_not_in_the_range_however_good_it_is() -> None:
    found = measured((0.0, 0.05, 0.0, 0.0), noise=0.001, seed=0)
    assert found.as_good == (0.0, 0.0)
    assert found.sentence.startswith(
        "label_smoothing, by validation top-1: 0 is needed; worse: 0.0333"
    )


def test_smaller_is_better_for_a_loss() -> None:
    losses = {
        value: {i: 0.3 + 0.1 * i + cost for i in range(4)}
        for value, cost in zip(VALUES, (0.0, -0.1, 0.0, 0.2), strict=True)
    }
    rng = np.random.default_rng(0)
    noisy = {v: {i: x + rng.normal(0, 1e-3) for i, x in of.items()} for v, of in losses.items()}
    found = refined("label_smoothing", noisy, metric="val/nll_refined", effective=EFFECTIVE)
    assert found is not None
    assert found.as_good == (0.0, 0.0667)
    assert "better than it: 0.0333" in found.sentence
    assert "worse: 0.1 (" in found.sentence


def test_a_value_with_which_training_diverged_is_worse() -> None:
    values = {v: {i: 0.8 + 0.01 * i for i in range(3)} for v in VALUES}
    rng = np.random.default_rng(1)
    noisy = {v: {i: x + rng.normal(0, 1e-3) for i, x in of.items()} for v, of in values.items()}
    found = refined(
        "label_smoothing",
        {**noisy, 0.1: {}},
        metric="val/top1",
        effective=EFFECTIVE,
        diverged={0.1},
    )
    assert found is not None
    assert found.as_good == (0.0, 0.0667)
    assert "worse: 0.1 (diverged)" in found.sentence
    assert math.isnan(found.tried[-1].minus_advised.mean)


def test_without_two_values_on_one_seed_nothing_is_said() -> None:
    alone = {0.0: {1: 0.8, 2: 0.7}, 0.1: {}}
    assert (
        refined("label_smoothing", alone, metric="val/top1", effective={0.0: 0.0, 0.1: 0.1}) is None
    )


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("uneven", [1.0, 3.0])
def test_the_intervals_of_all_values_hold_together_in_95_of_100(seeds: int, uneven: float) -> None:
    """Where the farthest value is three times as noisy, too, as one is that hardly trains."""
    costs, num = np.array([0.0, 0.004, 0.01, 0.03]), 400
    rng = np.random.default_rng(seeds + int(uneven))
    held = 0
    for _ in range(num):
        noise = rng.normal(0.0, 0.01, (4, seeds)) * np.array([1.0, 1.0, 1.0, uneven])[:, None]
        of = {
            value: {i: 0.8 - costs[k] + noise[k, i] for i in range(seeds)}
            for k, value in enumerate(VALUES)
        }
        found = refined("label_smoothing", of, metric="val/top1", effective=EFFECTIVE)
        assert found is not None
        held += all(
            one.minus_advised.ci95[0] <= -cost <= one.minus_advised.ci95[1]
            for one, cost in zip(found.tried, costs[1:], strict=True)
        )
    # Three standard errors of a share of 0.95 in 400 are 0.033.
    assert held / num > 0.95 - 0.033
