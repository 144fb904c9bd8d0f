"""Intervals of effects on small pools of images hold the effect on the pool, and no more.

The whole table is in docs/verdict.md.
"""

from functools import cache

import numpy as np
import pytest

from benchmarks.planted.pool import (
    LARGE,
    RECORDED,
    Condition,
    Images,
    Summary,
    draw,
    draw_images,
    effects_everywhere,
    summarize,
)
from benchmarks.planted.simulation import SMOOTHING, TRAJECTORY


@cache
def simulated(kind: str) -> dict[int, Summary]:
    differ = {"recorded": RECORDED, "large": LARGE}[kind]
    condition = Condition(num_val=60, num_pool=120, differ=differ)
    drawn = draw(condition, 120)
    return {rounds: summarize(condition, drawn, rounds=rounds) for rounds in (2, 4)}


@pytest.mark.parametrize("rounds", [2, 4])
@pytest.mark.parametrize("kind", ["recorded", "large"])
def test_intervals_from_sixty_images_of_a_pool_of_120_cover_the_effect_on_this_pool(
    kind: str, rounds: int
) -> None:
    # Four effects of each of 120 pools: the standard error of 95 % is 1.0.
    assert 0.92 <= simulated(kind)[rounds].here <= 0.99


def test_they_do_not_cover_the_effect_on_all_images_which_is_why_the_pool_is_named() -> None:
    found = simulated("large")[4]
    assert found.anywhere < found.here - 0.03
    assert found.anywhere < 0.93


def test_the_effect_on_a_pool_is_the_mean_over_its_splits() -> None:
    condition = Condition(num_val=10, num_pool=40, differ=RECORDED)
    rng = np.random.default_rng(0)
    images = draw_images(condition, 40, rng)
    parts = [rng.permutation(40)[:10] for _ in range(400)]
    of_split = [
        Images(easy=images.easy[at], tastes=images.tastes[at], average=images.average[at])
        for at in parts
    ]
    for name, effect in images.effects(condition).items():
        on_splits = [split.effects(condition)[name] for split in of_split]
        assert np.mean(on_splits) == pytest.approx(effect, abs=float(np.std(on_splits)) / 5)


def test_a_strength_gains_on_all_images_what_was_asked_for() -> None:
    found = effects_everywhere(RECORDED.tastes, 3.0)
    assert found[SMOOTHING] == pytest.approx(0.03, abs=0.003)
    assert [found[name] for name in TRAJECTORY[1:]] == pytest.approx([0.0] * 3, abs=0.001)
