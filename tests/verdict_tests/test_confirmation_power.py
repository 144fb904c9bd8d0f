"""Confirmations drawn image by image: intervals cover, and five seeds see more than three.

The whole table is in docs/verdict.md.
"""

from functools import cache

import numpy as np
import pytest

from benchmarks.planted.confirmation import (
    ACCURACY,
    Noise,
    Seen,
    Summary,
    draw,
    losses,
    mean_loss,
    scores,
    summarize,
)

NUM = 120
EQUAL, UNEQUAL = Noise(advised=1.2, other=1.2), Noise(advised=1.2, other=3.6)


@cache
def drawn(gain: float, noise: Noise, num_images: int) -> dict[str, Summary]:
    found = [draw(gain, noise, num_images, seed) for seed in range(NUM)]
    seen: dict[str, list[Seen]] = {role: [of[role] for of in found] for role in found[0]}
    return {role: summarize({gain: of}) for role, of in seen.items()}


@pytest.mark.parametrize("noise", [EQUAL, UNEQUAL], ids=str)
@pytest.mark.parametrize("num_images", [60, 300])
def test_intervals_cover_over_further_seeds_and_images_also_with_unequal_noise(
    num_images: int, noise: Noise
) -> None:
    # 120 draws of a coverage of 95 % stay above 0.89 in 99.5 of 100 samples.
    for summary in drawn(3.0, noise, num_images).values():
        assert summary.coverage >= 0.89
        assert summary.nll_coverage >= 0.89


def test_five_seeds_halve_the_interval_of_three_and_find_more() -> None:
    five, three = (drawn(5.0, EQUAL, 300)[role] for role in ("reference", "off"))
    assert five.half < 0.7 * three.half
    assert five.power[5.0] > three.power[5.0] + 0.1


def test_a_recipe_without_a_gain_is_rarely_called_better() -> None:
    # One side of 95 %: 2.5 % of draws; 120 of them stay below 7.5 % in 99.8 of 100 samples.
    for summary in drawn(0.0, UNEQUAL, 120).values():
        assert summary.power[0.0] <= 0.075


def test_what_is_called_the_truth_is_what_very_many_seeds_and_images_show() -> None:
    means, sds = np.array([1.5, 1.0]), np.array([0.1, 0.3])
    score = scores(np.random.default_rng(0), means, sds, num_seeds=400, num_images=2000)
    assert score.std(axis=(1, 2)) == pytest.approx([1.0, 1.0], abs=0.03)
    seen = losses(score).mean(axis=(1, 2))
    assert seen == pytest.approx([mean_loss(1.5), mean_loss(1.0)], abs=0.03)
    # Two seeds of one recipe differ on about as many images as the module says.
    [[first, second]] = scores(
        np.random.default_rng(1), np.array([1.175]), np.array([0.07]), num_seeds=2, num_images=9999
    )
    assert np.mean((first > 0) != (second > 0)) == pytest.approx(0.12, abs=0.02)
    assert np.mean(first > 0) == pytest.approx(ACCURACY, abs=0.04)
