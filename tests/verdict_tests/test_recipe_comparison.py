"""Margins between recipes come from the noise of their own runs."""

import math

import numpy as np
import pytest
from scipy import stats

from search.verdict.recipe_comparison import RecipeComparison


def compare(values: dict[str, dict[int, float]], metric: str = "val/top1") -> RecipeComparison:
    return RecipeComparison(
        {r: {s: {metric: v} for s, v in of.items()} for r, of in values.items()}
    )


def test_recipes_with_the_same_seeds_are_compared_in_pairs() -> None:
    # Seeds differ by 10 points, recipes by 2 on every seed with a point of noise between them.
    noise = {"a": [0.005, -0.005, 0.0], "b": [-0.005, 0.005, 0.0]}
    of = {
        r: {s: 0.7 + 0.1 * s + 0.02 * (r == "b") + noise[r][s] for s in range(3)}
        for r in ("a", "b")
    }
    gains = np.array([of["b"][s] - of["a"][s] for s in range(3)])
    found = compare(of)
    paired = stats.t.ppf(0.975, 2) * gains.std(ddof=1) / math.sqrt(3)
    assert found.gain("b", "a", "val/top1") == pytest.approx(0.02)
    assert found.margin("b", "a", "val/top1") == pytest.approx(paired)


def test_recipes_with_other_seeds_are_compared_by_the_pooled_spread_within_recipes() -> None:
    of = {"a": {0: 0.5, 1: 0.52}, "b": {2: 0.6, 3: 0.66, 4: 0.63}}
    pooled = math.sqrt((0.0002 + 0.0018) / 3)
    expected = stats.t.ppf(0.975, 3) * pooled * math.sqrt(1 / 2 + 1 / 3)
    spread, dof = compare(of).noise("val/top1", by_seed=False)
    assert spread == pytest.approx(pooled)
    assert dof == 3
    assert compare(of).margin("b", "a", "val/top1") == pytest.approx(expected)


def test_a_difference_counts_only_beyond_its_margin_and_only_upwards() -> None:
    of = {"a": {0: 0.50, 1: 0.52}, "b": {0: 0.60, 1: 0.62}, "c": {0: 0.503, 1: 0.523}}
    found = compare(of)
    assert found.exceeds("b", "a", "val/top1")
    assert not found.exceeds("a", "b", "val/top1")
    assert not found.exceeds("c", "a", "val/top1")  # Less than the floor of half a point.


def test_margins_never_fall_below_the_floor_of_the_metric() -> None:
    for metric, floor in (("val/top1", 0.005), ("clean_train/nll", 0.02)):
        found = compare({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}}, metric)
        assert found.margin("a", "b", metric) == floor


def test_one_run_each_shows_no_noise_and_leaves_the_floor() -> None:
    found = compare({"a": {0: 0.5}, "b": {0: 0.51}})
    assert found.noise("val/top1", by_seed=False) == (0.0, 0)
    assert found.exceeds("b", "a", "val/top1")


@pytest.mark.parametrize("hole", [math.nan, math.inf, None])
def test_what_was_not_measured_decides_nothing(hole: float | None) -> None:
    metrics = {"a": {0: {} if hole is None else {"val/top1": hole}}, "b": {0: {"val/top1": 0.5}}}
    found = RecipeComparison(metrics)
    assert not found.has("a", "val/top1")
    assert not found.exceeds("b", "a", "val/top1")
    assert not found.is_above("a", "val/top1")
    assert found.num_runs() == 2


def test_a_mean_is_above_a_threshold_by_its_own_error() -> None:
    of = {"a": {0: 0.10, 1: 0.14, 2: 0.12}}
    error = stats.t.ppf(0.975, 2) * 0.02 / math.sqrt(3)
    assert compare(of).is_above("a", "val/top1", 0.12 - error - 1e-6)
    assert not compare(of).is_above("a", "val/top1", 0.12 - error + 1e-6)


def test_noise_of_a_recipe_stuck_at_chance_is_averaged_in() -> None:
    rng = np.random.default_rng(0)
    of = {
        "stuck": dict.fromkeys(range(2000), 0.1),
        "free": {s: float(rng.normal(0.9, 0.02)) for s in range(2000, 4000)},
    }
    spread, _ = compare(of).noise("val/top1", by_seed=False)
    assert spread == pytest.approx(0.02 / math.sqrt(2), rel=0.05)


def test_a_recipe_with_one_seed_is_compared_by_what_that_seed_does_to_all() -> None:
    """The slow twin is weighted least squares by hand: dummies for recipes and for seeds."""
    rng = np.random.default_rng(1)
    of = {
        name: {seed: 0.5 + 0.1 * seed + 0.01 * rng.normal() for seed in range(seeds)}
        for name, seeds in (("a", 5), ("b", 3), ("longer", 1))
    }
    rows, values = [], []
    for place, (_, by_seed) in enumerate(of.items()):
        for seed, value in by_seed.items():
            rows.append(
                [1.0]
                + [float(place == i) for i in (1, 2)]
                + [float(seed == i) for i in range(1, 5)]
            )
            values.append(value)
    model = np.array(rows)
    fitted, residuals, rank, _ = np.linalg.lstsq(model, np.array(values), rcond=None)
    dof = len(values) - rank
    variance = residuals[0] / dof * np.linalg.inv(model.T @ model)
    contrast = np.array([0, -1, 1, 0, 0, 0, 0], float)
    half = stats.t.ppf(0.975, dof) * math.sqrt(contrast @ variance @ contrast)
    found = compare(of).paired_gain("longer", "b", "val/top1")
    assert found.mean == pytest.approx(fitted[2] - fitted[1])
    assert found.ci95 == pytest.approx((found.mean - half, found.mean + half))


def test_a_paired_gain_without_noise_to_go_by_or_a_shared_seed_has_no_interval() -> None:
    alone = compare({"a": {0: 0.5}, "b": {0: 0.51}}).paired_gain("b", "a", "val/top1")
    assert alone.mean == pytest.approx(0.01)
    assert alone.ci95 == (-math.inf, math.inf)
    apart = compare({"a": {0: 0.5, 1: 0.6}, "b": {2: 0.7}}).paired_gain("b", "a", "val/top1")
    assert apart.mean == pytest.approx(0.15)
    assert apart.ci95 == (-math.inf, math.inf)


def test_runs_that_stand_for_two_equal_recipes_are_evidence_once() -> None:
    of = {"a": {0: 0.50, 1: 0.52, 2: 0.55}, "b": {0: 0.60, 1: 0.66, 2: 0.63}, "longer": {0: 0.7}}
    twice = {"a": of["a"], "same": of["a"], "b": of["b"], "longer": of["longer"]}
    for by_seed in (True, False):
        once = compare(of).noise("val/top1", by_seed=by_seed)
        assert compare(twice).noise("val/top1", by_seed=by_seed) == pytest.approx(once)
    found = compare(twice)
    gain = compare(of).paired_gain("longer", "a", "val/top1")
    assert found.paired_gain("longer", "same", "val/top1").mean == pytest.approx(gain.mean)
    assert found.paired_gain("longer", "same", "val/top1").ci95 == pytest.approx(gain.ci95)


def test_a_mean_of_all_counts_each_seed_once() -> None:
    of = {"a": {0: 0.10, 1: 0.14, 2: 0.12}, "b": {0: 0.20, 1: 0.26, 2: 0.23}}
    found = compare(of).mean_of_all(("a", "b"), "val/top1")
    pooled = math.sqrt((0.0008 + 0.0018) / 4)
    half = stats.t.ppf(0.975, 4) * pooled / math.sqrt(3)
    assert found.mean == pytest.approx(0.175)
    assert found.ci95 == pytest.approx((0.175 - half, 0.175 + half))
