"""A metric over classes varies within its classes, and in the rarest one most."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.imbalance.confirmation import confirmation
from benchmarks.imbalance.drawn import CASES, METRICS, Classes
from benchmarks.imbalance.experiment import POOLS, experiment
from search.records.metrics import BALANCED_TOP1, Metric
from search.verdict.confirmation import UNSEEN, SeedResult, confirm, variance_over_images

NUM_DRAWS = 80
CLASSES = np.array([0] * 20 + [1] * 5)


def contributions(right: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """What each image contributes to balanced accuracy, by its definition."""
    sizes = np.bincount(CLASSES)
    return np.where(right, len(CLASSES) / (len(sizes) * sizes[CLASSES]), 0.0)


def test_with_one_seed_it_is_the_variance_of_a_stratified_mean() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = (rng.random(len(CLASSES)) < 0.6 for _ in range(2))
    difference = contributions(ours) - contributions(theirs)
    gains = ours.astype(float) - theirs
    expected = sum(gains[k == CLASSES].var(ddof=1) / np.sum(k == CLASSES) for k in (0, 1)) / 2**2
    assert variance_over_images(difference[None], CLASSES) == pytest.approx(expected)


def test_that_classes_differ_is_no_variation() -> None:
    """All of one class better, all of the other worse: fresh images would say the same."""
    difference = contributions(CLASSES == 0) - contributions(CLASSES == 1)
    found = variance_over_images(np.array([difference] * 3), CLASSES)
    assert found == pytest.approx(UNSEEN / (2 * 5) ** 2)


def test_images_of_a_group_that_differ_alike_count_as_one() -> None:
    """Three copies of each image, in groups of three, vary as the images do once."""
    rng = np.random.default_rng(0)
    once = rng.normal(size=(1, len(CLASSES)))
    groups = np.repeat(np.arange(len(CLASSES)), 3)
    thrice, classes = np.repeat(once, 3, axis=1), np.repeat(CLASSES, 3)
    grouped = variance_over_images(thrice, classes, groups=groups)
    single = variance_over_images(once, CLASSES)
    assert grouped == pytest.approx(single, rel=0.3)
    assert grouped > 2 * variance_over_images(thrice, classes)
    assert variance_over_images(once, CLASSES, groups=0 * CLASSES) == math.inf
    alone = variance_over_images(once, CLASSES, groups=np.arange(len(CLASSES)))
    assert alone == pytest.approx(single * len(CLASSES) / (len(CLASSES) - 1))


def test_a_recipe_does_not_differ_from_itself() -> None:
    rng = np.random.default_rng(0)
    runs = {seed: result(rng.random(len(CLASSES)) < 0.6) for seed in range(3)}
    found = confirm(
        {"advised": runs, "reference": runs}, num_images=len(CLASSES), first=BALANCED_TOP1
    )
    assert found.advised_minus["reference"]["test/balanced_top1"].is_nothing


def test_what_seeds_do_to_single_images_is_not_counted_twice() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, len(CLASSES)))
    noise -= noise.mean(axis=0)  # No image is easier than another, only luckier.
    assert variance_over_images(noise, CLASSES) == pytest.approx(UNSEEN / 10**2)


def result(right: npt.NDArray[np.bool_], *, has_images: bool = True) -> SeedResult:
    balanced = float(np.mean([right[k == CLASSES].mean() for k in (0, 1)]))
    metrics = {"test/balanced_top1": balanced, "test/balanced_top1_se": 0.1}
    return SeedResult(
        metrics={**metrics, "test/top1": float(right.mean()), "test/nll": 1.0},
        images={"test/balanced_top1": contributions(right)} if has_images else {},
        classes=CLASSES if has_images else None,
    )


def test_recipes_that_agree_on_most_images_are_told_apart_better_by_image() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(len(CLASSES)) < 0.7
    widths = {}
    for has_images in (True, False):
        results: dict[str, dict[int, SeedResult]] = {"advised": {}, "reference": {}}
        for seed in range(5):
            ours, theirs = easy.copy(), easy.copy()
            ours[seed], theirs[seed + 5] = True, False
            results["advised"][seed] = result(ours, has_images=has_images)
            results["reference"][seed] = result(theirs, has_images=has_images)
        found = confirm(results, num_images=len(CLASSES), first=BALANCED_TOP1)
        low, high = found.advised_minus["reference"]["test/balanced_top1"].ci95
        widths[has_images] = high - low
    assert widths[True] < widths[False] / 2


@pytest.mark.parametrize("num_seeds", [5, 3])
@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[4]], ids=lambda case: case.name)
def test_a_confirmation_covers_though_the_rarest_class_has_eight_test_images(
    case: Classes, num_seeds: int
) -> None:
    # 80 draws of a coverage of 95 % stay above 0.86 in 99.9 of 100 samples.
    drawn = [confirmation(case, num_seeds, seed) for seed in range(NUM_DRAWS)]
    for metric in METRICS:
        assert np.mean([one[metric.name].holds for one in drawn]) >= 0.86


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_experiment_finds_what_costs_rare_classes_and_nothing_else(metric: Metric) -> None:
    planted, *nothing = (POOLS[i] for i in (0, 1, 3))
    found = [experiment(planted, metric, seed) for seed in range(8)]
    others = [experiment(pool, metric, seed) for pool in nothing for seed in range(10)]
    assert sum(one.is_found for one in found) >= 6
    # At most 5 % of experiments make a false turn: of 28 at most 5 in 99.8 of 100 samples.
    assert sum(one.is_false for one in (*found, *others)) <= 5
    # 112 intervals of 95 % of which those of an experiment depend on each other.
    assert np.mean([held for one in (*found, *others) for held in one.holds]) >= 0.88
