"""What is confirmed, what its interval holds, and what may be exported for it."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.planted.grouped_images import coverage
from search.verdict.confirmation import SeedResult, choose_export, confirm, paired_interval

N = 400


def run(rng: np.random.Generator, accuracy: float, *, images: bool = True) -> SeedResult:
    right = (rng.random(N) < accuracy).astype(np.int64)
    loss = rng.exponential(1.0 - accuracy, N)
    return SeedResult(
        metrics={"test/top1": float(right.mean()), "test/nll": float(loss.mean())},
        images={"test/top1": right, "test/nll": loss} if images else {},
    )


def results(*, images: bool = True, seeds: int = 3) -> dict[str, dict[int, SeedResult]]:
    rng = np.random.default_rng(0)
    accuracies = {"reference": 0.80, "best": 0.90, "off": 0.85}
    return {
        role: {seed: run(rng, accuracy, images=images) for seed in range(seeds)}
        for role, accuracy in accuracies.items()
    }


def test_means_are_over_seeds_and_differences_over_shared_seeds() -> None:
    given = results()
    found = confirm(given, num_images=N)
    assert (found.seeds, found.num_images, found.split) == (3, N, "test")
    for role, means in (("reference", found.reference), ("best", found.best), ("off", found.off)):
        for metric in ("test/top1", "test/nll"):
            expected = np.mean([given[role][seed].metrics[metric] for seed in range(3)])
            assert means[metric] == pytest.approx(expected)
    gain = found.best_minus_reference["test/top1"]
    assert gain.mean == pytest.approx(found.best["test/top1"] - found.reference["test/top1"])
    assert gain.ci95[0] < gain.mean < gain.ci95[1]
    assert gain.base == pytest.approx(found.reference["test/top1"])


def test_seeds_that_one_recipe_lacks_or_spoiled_do_not_enter_the_comparison() -> None:
    given = results()
    del given["best"][0]
    given["reference"][1] = SeedResult(metrics={"test/top1": 0.1, "test/nll": math.nan})
    found = confirm(given, num_images=N)
    assert found.seeds == 1
    only = given["best"][2].metrics["test/top1"] - given["reference"][2].metrics["test/top1"]
    assert found.best_minus_reference["test/top1"].mean == pytest.approx(only)
    assert found.best_minus_reference["test/top1"].ci95 == (-math.inf, math.inf)


@pytest.mark.parametrize("role", ["reference", "best", "off"])
def test_a_role_without_runs_leaves_the_others_as_they_are(role: str) -> None:
    given = results()
    whole, found = confirm(given, num_images=N), confirm({**given, role: {}}, num_images=N)
    assert getattr(found, role) == {}
    for other in {"reference", "best", "off"} - {role}:
        assert getattr(found, other) == getattr(whole, other)
    assert (found.best_minus_reference == {}) == (role != "off")


def test_without_any_finished_run_nothing_can_be_confirmed() -> None:
    with pytest.raises(ValueError, match="A recipe must have a finished run"):
        confirm({"reference": {}, "advised": {}}, num_images=N)


def test_the_advised_recipe_is_compared_with_all_that_needs_no_search() -> None:
    given = results()
    given |= {"advised": given["best"], "reference_raw": given["off"]}
    found = confirm(given, num_images=N, free="off")
    assert set(found.advised_minus) == {"reference", "reference_raw", "off"}
    assert found.advised_minus["reference"] == found.best_minus_reference
    assert found.advised_minus["off"] == found.advised_minus["reference_raw"]
    assert (found.free, found.advised) == ("off", found.best)


def test_the_advised_recipe_is_compared_with_classifiers_on_frozen_features() -> None:
    given = results()
    given |= {"advised": given["best"], "probe": given["off"]}
    found = confirm(given, num_images=N)
    assert found.probe == found.off
    assert found.advised_minus["probe"] == found.advised_minus["off"]
    assert found.knn == {}
    assert "knn" not in found.advised_minus


def test_everything_off_may_be_lost_without_losing_the_comparison() -> None:
    given = results()
    whole = confirm(given, num_images=N)
    found = confirm({**given, "off": {}}, num_images=N)
    assert found.off == {}
    assert found.best_minus_reference == whole.best_minus_reference


def test_recipes_without_a_common_seed_have_no_difference() -> None:
    given = results()
    given["best"] = {seed + 10: of for seed, of in given["best"].items()}
    found = confirm(given, num_images=N)
    assert found.best_minus_reference == {}
    assert found.best["test/top1"] > 0.8


def test_the_interval_equals_its_definition_by_components() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(0.03, 0.3, (4, 50)) + rng.normal(0, 0.2, (4, 1)) + rng.normal(0, 0.5, (1, 50))
    rest = sum(
        (d[s, i] - d[s].mean() - d[:, i].mean() + d.mean()) ** 2
        for s in range(4)
        for i in range(50)
    ) / (3 * 49)
    seeds = d.mean(axis=1).var(ddof=1) / 4
    images = d.mean(axis=0).var(ddof=1) / 50 - rest / 200
    half = math.sqrt(stats.t.ppf(0.975, 3) ** 2 * seeds + stats.t.ppf(0.975, 49) ** 2 * images)
    low, high = paired_interval(d)
    assert (low, high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert paired_interval(d, alpha=0.01)[1] > high


def test_with_means_only_the_interval_is_the_paired_t_over_seeds() -> None:
    gains = np.array([[0.01], [0.03], [0.02]])
    half = stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(3)
    assert paired_interval(gains) == pytest.approx((0.02 - half, 0.02 + half))


def test_pairing_removes_what_seeds_and_images_have_in_common() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(N) < 0.3
    given: dict[str, dict[int, SeedResult]] = {"reference": {}, "best": {}, "off": {}}
    for role, gained in (("reference", 0), ("best", 8), ("off", 0)):
        for seed in range(3):
            right = (~hard).astype(np.int64)
            right[np.flatnonzero(hard)[: gained + seed]] = 1
            given[role][seed] = SeedResult(
                metrics={"test/top1": float(right.mean()), "test/nll": 0.5},
                images={"test/top1": right},
            )
    gain = confirm(given, num_images=N).best_minus_reference["test/top1"]
    assert gain.mean == pytest.approx(8 / N)
    # Only 8 of 400 images differ; unpaired the interval would hold zero by far.
    assert gain.ci95[0] > 0.0


def test_without_values_per_image_accuracy_gets_the_wider_interval_of_independent_recipes() -> None:
    paired = confirm(results(), num_images=N).best_minus_reference["test/top1"]
    given = results(images=False)
    blind = confirm(given, num_images=N).best_minus_reference["test/top1"]
    assert blind.mean == pytest.approx(paired.mean)
    p, q = (
        np.mean([r.metrics["test/top1"] for r in given[k].values()]) for k in given if k != "off"
    )
    gains = [
        given["best"][s].metrics["test/top1"] - given["reference"][s].metrics["test/top1"]
        for s in range(3)
    ]
    half = math.sqrt(
        stats.t.ppf(0.975, 2) ** 2 * np.var(gains, ddof=1) / 3
        + stats.t.ppf(0.975, N - 1) ** 2 * (p * (1 - p) + q * (1 - q)) / N
    )
    assert (blind.ci95[1] - blind.ci95[0]) / 2 == pytest.approx(half)
    nll = confirm(given, num_images=N).best_minus_reference["test/nll"]
    assert nll.ci95[0] < nll.mean < nll.ci95[1]


def on_validation(**means: float) -> dict[str, dict[int, float]]:
    """Top-1 on fresh validation images, which differ a little from seed to seed."""
    return {role: {s: mean + 0.002 * s for s in range(3)} for role, mean in means.items()}


def test_the_advised_recipe_is_exported_unless_another_is_better_on_validation_images() -> None:
    usual = on_validation(advised=0.92, reference=0.80, scaled=0.92, off=0.91)
    assert choose_export(usual) == ("advised", "")
    usual["off"] = {0: 0.99, 1: 0.93, 2: 0.91}  # Better on average, within noise.
    assert choose_export(usual)[0] == "advised"
    usual["off"] = {seed: value + 0.03 for seed, value in usual["advised"].items()}
    usual["scaled"] = {seed: value + 0.02 for seed, value in usual["advised"].items()}
    role, because = choose_export(usual)
    assert role == "off"
    assert "fresh validation images" in because


def test_no_turn_is_exported_of_runs_that_are_too_short() -> None:
    role, because = choose_export(on_validation(advised=0.92, reference=0.80), undertrained=True)
    assert role == "reference"
    assert "train longer" in because
    assert because.endswith("what is called advised was turned before that was known")
    same_recipe = on_validation(advised=0.92)
    assert not choose_export(same_recipe, undertrained=True)[1].endswith("was known")


@pytest.mark.parametrize(
    ("diverged", "exported"),
    [
        ((), "advised"),
        (("reference",), "advised"),
        (("advised",), "reference"),
        (("advised", "reference"), "scaled"),
        (("advised", "reference", "scaled"), "off"),
        (("advised", "reference", "scaled", "off"), "best"),
        (("advised", "reference", "scaled", "off", "best"), "reference"),
    ],
)
def test_a_recipe_that_diverged_is_not_exported_while_another_one_trains(
    diverged: tuple[str, ...], exported: str
) -> None:
    assert choose_export({}, diverged=diverged)[0] == exported


# Groups of images.


def test_groups_of_one_image_each_are_no_groups() -> None:
    d = np.random.default_rng(0).normal(0.02, 0.3, (4, 50))
    shuffled = np.random.default_rng(1).permutation(50)
    assert paired_interval(d, groups=shuffled) == pytest.approx(paired_interval(d))


def test_the_part_of_the_images_is_the_variance_of_sums_over_groups() -> None:
    """By loops, where seeds agree so that images alone vary."""
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])
    of_images = rng.normal(0.1, 1.0, 10)
    low, high = paired_interval(np.tile(of_images, (3, 1)), groups=groups)
    mean = of_images.mean()
    sums = [sum(of_images[i] - mean for i in range(10) if groups[i] == g) for g in range(4)]
    error = math.sqrt(4 / 3 * sum(s * s for s in sums)) / 10
    assert (low + high) / 2 == pytest.approx(mean)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 3) * error)


def test_one_group_says_nothing_of_others() -> None:
    d = np.random.default_rng(0).normal(size=(3, 20))
    assert paired_interval(d, groups=np.zeros(20, np.int64)) == (-math.inf, math.inf)


def test_intervals_by_groups_cover_where_those_by_images_are_too_narrow() -> None:
    by_images, by_groups, narrow, wide = coverage(
        num_groups=30, images_per_group=30, spread=0.1, draws=200
    )
    assert by_images < 0.93 < by_groups
    assert wide > 1.3 * narrow
    alike, other, *_ = coverage(num_groups=30, images_per_group=10, spread=0.0, draws=200)
    assert alike == pytest.approx(other, abs=0.03)


def test_the_confirmation_uses_groups_for_what_is_known_of_each_image() -> None:
    # Whole groups of twenty are gained or not, so that far fewer cases are independent.
    groups = np.arange(N) // 20
    gained = (groups % 3 == 0).astype(float)
    given = {
        role: {
            seed: SeedResult(
                metrics={
                    "test/top1": float(right.mean()),
                    "test/nll": 0.1,
                    "test/nll_refined": 0.1,
                },
                images={"test/top1": right},
            )
            for seed in range(3)
        }
        for role, right in (("reference", np.zeros(N)), ("advised", gained))
    }
    low, high = confirm(given, num_images=N).advised_minus["reference"]["test/top1"].ci95
    found = confirm(given, num_images=N, groups=groups).advised_minus["reference"]["test/top1"]
    assert found.ci95[1] - found.ci95[0] > 3 * (high - low)
