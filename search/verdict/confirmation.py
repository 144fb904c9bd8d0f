"""Comparison of recipes on the test images over fresh seeds, and choice of the exported one."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search.records.metrics import NLL, TOP1, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.schema import Confirmed, Estimate

Floats = npt.NDArray[np.float64]


def confirm_metrics(first: Metric = TOP1) -> tuple[str, ...]:
    """List the test metrics by which recipes are compared; ``first`` is the deciding metric."""
    return tuple(dict.fromkeys(metric.on("test") for metric in (first, TOP1, NLL)))


FROZEN_ROLES = ("probe", "knn")
"""Baselines without fine-tuning: linear probe and nearest neighbours on frozen features."""
CONFIRMED_ROLES = ("reference", "reference_raw", "best", "off", "scaled", "advised", *FROZEN_ROLES)
"""All that is measured on the test images; ``reference_raw`` is the reference's raw weights."""
FREE_ROLES = ("reference", "reference_raw", "off", "scaled")
"""Recipes that are available without a search."""
EXPORT_ORDER = ("reference", "scaled", "off", "best")
"""Recipes to export if the advised one diverges: the first of these that does not."""
EXPORT_ALPHA = 0.05
"""Probability of exporting another recipe though none is better than the advised one."""
UNSEEN = 1 / 3
"""Images that count as different in the smallest class in which none is.

Two recipes that agree on all 8 images of a class need not agree on the next ones. In simulations
with a class of 8 test images that is nearly always right, intervals without this cover at 79 to
86 %, with it at 96 % or more (docs/imbalance.md).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """One confirmation run: one recipe, one seed, measured once on the test images.

    Attributes:
        metrics: On the test images, ``test/top1`` and so on.
        images: By metric, its value for each test image in the order of the dataset: for
            ``test/top1`` 1 where the image is right and 0 where it is wrong, for ``test/nll`` its
            log-loss, for a metric over classes what the image contributes to it. May lack any.
        classes: Class of each test image, for metrics over classes; None if it is not known.
    """

    metrics: Mapping[str, float]
    images: Mapping[str, npt.NDArray[np.floating] | npt.NDArray[np.integer]] = field(
        default_factory=dict
    )
    classes: npt.NDArray[np.int64] | None = None


def confirm(
    results: Mapping[str, Mapping[int, SeedResult]],
    *,
    num_images: int,
    split: str = "test",
    first: Metric = TOP1,
    free: str = "reference",
    groups: npt.NDArray[np.int64] | None = None,
) -> Confirmed:
    """Compare the advised recipe with those that need no search, and best with reference.

    All differences are paired by seed and by image: only seeds that both recipes finished with
    finite metrics are used, and `paired_interval` makes the interval. For a metric over classes
    the part over images is `variance_over_images`. For any other that is no mean over images, or
    whose values per image are not known, the variance over images is that of two independent
    recipes, which is too wide rather than too narrow: binomial for a share of images, else from the
    standard error that the runs report as ``<metric>_se``. Without that, its interval is over seeds
    alone.

    Args:
        results: By role (one of `CONFIRMED_ROLES`), then by seed; any may be missing or have
            no run.
        num_images: Test images.
        split: Name of the split.
        first: The metric that decides.
        free: The role of `FREE_ROLES` that does best on validation images.
        groups: Group of each test image, whose images are alike; None if all are independent.

    Raises:
        ValueError: If no recipe has a finished run.
    """
    names = confirm_metrics(first)
    finished = {role: _finite(of_seed, names) for role, of_seed in results.items()}
    answer = finished.get("advised") or finished.get("best") or {}
    if not any(finished.values()):
        raise ValueError(f"A recipe must have a finished run, but of {list(results)} none has.")

    def minus(role: str, other: str) -> dict[str, Estimate]:
        ours, theirs = finished.get(role, {}), finished.get(other, {})
        pairs = [(theirs[seed], ours[seed]) for seed in sorted(set(ours) & set(theirs))]
        if not pairs:
            return {}
        return {name: paired_difference(pairs, name, num_images, groups) for name in names}

    means = {
        role: _means(list(of_seed.values()), names) if of_seed else {}
        for role, of_seed in ((r, finished.get(r, {})) for r in CONFIRMED_ROLES)
    }
    advised_minus = {other: minus("advised", other) for other in (*FREE_ROLES, *FROZEN_ROLES)}
    return Confirmed(
        split=split,
        num_images=num_images,
        seeds=len(set(finished.get("reference") or answer) & set(answer)),
        free=free,
        best_minus_reference=minus("best", "reference"),
        advised_minus={other: found for other, found in advised_minus.items() if found},
        readings={},
        **means,
    )


def choose_export(
    validation: Mapping[str, Mapping[int, float]],
    *,
    diverged: Collection[str] = (),
    undertrained: bool = False,
) -> tuple[str, str]:
    """Choose the role to export, with the reason if it is not ``advised`` (else empty).

    Only validation results count; test images are never selected on. Another recipe is exported if

    - longer training is known to help: then no dial is turned, and the reference stays;
    - the advised recipe diverged on fresh seeds, or has no result there: then the first that
      trains of reference, size-scaled default, everything off and best;
    - another recipe is better on the validation images of the fresh seeds beyond noise, all
      comparisons together at `EXPORT_ALPHA`: then the best of these.

    Args:
        validation: By role, then by seed, the metric that decides on validation images, larger
            being better; equal recipes appear under one role.
        diverged: Roles of which at least half of the runs diverged, or none has a result.
        undertrained: Whether longer training is known to help even everything off.
    """
    if undertrained and "reference" not in diverged:
        because = "it has not converged: train longer before anything is turned"
        # The recipe is tested beside the run of twice the length, which tells.
        if {"advised", "reference"} <= validation.keys():
            because += "; what is called advised was turned before that was known"
        return "reference", because
    if "advised" in diverged:
        trains = (role for role in EXPORT_ORDER if role not in diverged)
        return next(trains, "reference"), "the advised recipe has no result on fresh seeds"
    ours = validation.get("advised", {})
    others = {
        role: np.array([[of[seed] - ours[seed]] for seed in sorted(set(of) & set(ours))])
        for role, of in validation.items()
        if role != "advised" and role not in diverged
    }
    alpha = 2.0 * EXPORT_ALPHA / max(1, len(others))
    better = {
        role: float(gains.mean())
        for role, gains in others.items()
        if len(gains) > 1 and paired_interval(gains, alpha=alpha)[0] > 0.0
    }
    if not better:
        return "advised", ""
    role = max(better, key=lambda name: better[name])
    return role, "it is better than the advised recipe on fresh validation images beyond noise"


def paired_interval(
    differences: Floats, *, alpha: float = 0.05, groups: npt.NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """Compute the interval of a mean difference for new seeds and new images of the same kinds.

    Model: mean + seed + image + rest. The variance of the overall mean is ``seed / S + image / N +
    rest / (S N)``. The mean squares over seeds and over images hold the rest once each, so it is
    taken off the one over images, of which there are many. Seeds are few, and one number of degrees
    of freedom for the sum is unstable with three of them; instead each part is widened by its own t
    quantile and the parts are added in squares (Burdick & Graybill 1992, Confidence Intervals on
    Variance Components). In simulations with 0/1 outcomes of 300 to 5000 images it covers at 94 to
    98 % with two or more seeds, whichever part dominates.

    With groups, what images of a group have in common is allowed for: variances over images are
    those of sums over groups (Liang & Zeger 1986; with the factor ``G / (G - 1)``), for new groups
    of the same kind.

    Args:
        differences: One recipe minus the other, seeds in rows, images in columns; one column if
            only means over images are known.
        alpha: Probability that the interval misses the mean.
        groups: Group of each image; None if all images are independent.

    Returns:
        Both ends; infinite with a single seed, or with groups and only one of them.
    """
    num_seeds, num_images = differences.shape
    mean = float(differences.mean())
    numbers = np.arange(num_images)
    if groups is not None and num_images > 1:
        numbers = np.unique(groups, return_inverse=True)[1]
    num_groups = int(numbers.max()) + 1
    if num_seeds < 2 or (num_images > 1 and num_groups < 2):
        return (-math.inf, math.inf)
    of_seeds, of_images = differences.mean(axis=1), differences.mean(axis=0)
    seeds_part = float(of_seeds.var(ddof=1)) / num_seeds
    images_part = 0.0
    if num_images > 1:
        rest = differences - of_seeds[:, None] - of_images[None, :] + mean
        # Of groups of one image each, these are the usual variances of means.
        scale = num_groups / (num_groups - 1) / num_images**2
        rest_squares = sum(float((np.bincount(numbers, row) ** 2).sum()) for row in rest)
        rest_part = scale * rest_squares / (num_seeds - 1) / num_seeds
        squares = float((np.bincount(numbers, of_images - mean) ** 2).sum())
        images_part = max(scale * squares - rest_part, 0.0)
    return _combined(mean, seeds_part, num_seeds - 1, images_part, num_groups - 1, alpha)


def variance_over_images(
    differences: Floats,
    classes: npt.NDArray[np.int64],
    *,
    groups: npt.NDArray[np.int64] | None = None,
) -> float:
    """Estimate the variance over images of a difference between recipes, averaged over seeds.

    What an image does in all seeds varies around the mean of its class. That holds the seeds' own
    variation on each image once, which is taken off, and what images of a group have in common is
    allowed for, both as in `paired_interval`.

    Fresh images would be as many of each class: that classes differ is no variation.

    Args:
        differences: What an image contributes to one recipe's metric minus to the other's, seeds in
            rows, images in columns (`trainable.evaluation`).
        classes: Class of each image.
        groups: Group of each image; None if all images are independent.

    Returns:
        The variance; 0 if no image differs in any seed, as where equal recipes share their runs,
        and infinite with a single group.
    """
    if not differences.any():
        return 0.0
    num_seeds, num_images = len(differences), len(classes)
    _, of_image, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    numbers, factor = np.arange(num_images), 1.0
    if groups is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        num_groups = int(numbers.max()) + 1
        if num_groups < 2:
            return math.inf
        factor = num_groups / (num_groups - 1)

    def squares(values: Floats) -> float:
        means = np.bincount(of_image, weights=values) / sizes
        # For the degree of freedom of each mean. A class of one image shows no variation.
        widened = (values - means[of_image]) * np.sqrt(sizes / np.maximum(sizes - 1, 1))[of_image]
        return factor * float((np.bincount(numbers, weights=widened) ** 2).sum())

    of_images: Floats = differences.mean(axis=0)
    rest = sum(squares(d - of_images) for d in differences) / max(1, num_seeds - 1) / num_seeds
    seen = max(squares(of_images) - rest, 0.0) / num_images / num_images
    first = np.array([of_images[of_image == k][0] for k in range(len(sizes))])
    varies = np.bincount(of_image, weights=np.abs(of_images - first[of_image])) > 1e-6
    alike = sizes[~varies]
    return seen + (UNSEEN / float(len(sizes) * alike.min()) ** 2 if len(alike) else 0.0)


def paired_difference(
    pairs: Sequence[tuple[SeedResult, SeedResult]],
    metric: str,
    num_images: int,
    groups: npt.NDArray[np.int64] | None,
) -> Estimate:
    """Estimate the mean difference of a metric, second minus first of each pair, see `confirm`.

    Args:
        pairs: Results of two recipes with the same seed, at least one pair.
        metric: Reported name of the metric.
        num_images: Test images.
        groups: Group of each test image; None if all are independent.
    """
    gains = np.array([best.metrics[metric] - ref.metrics[metric] for ref, best in pairs])
    mean = float(gains.mean())
    base = float(np.mean([ref.metrics[metric] for ref, _ in pairs]))
    over_classes = metric_of(metric).over_classes
    by_image = _by_image(pairs, metric)
    if by_image is not None and not over_classes:
        low, high = paired_interval(by_image, groups=groups)
        # The mean over images and the reported metric may differ in the last digits of float32.
        shift = mean - float(by_image.mean())
        return Estimate(mean=mean, ci95=(low + shift, high + shift), base=base)
    if len(gains) < 2:
        return Estimate(mean=mean, ci95=(-math.inf, math.inf), base=base)
    classes = pairs[0][0].classes
    if over_classes and by_image is not None and classes is not None:
        images_part = variance_over_images(by_image, classes, groups=groups)
    else:
        images_part = _images_part(pairs, metric, num_images)
    seeds_part = float(gains.var(ddof=1)) / len(gains)
    num_groups = num_images if groups is None else len(np.unique(groups))
    dof = max(1, num_groups - 1)
    low, high = _combined(mean, seeds_part, len(gains) - 1, images_part, dof, 0.05)
    return Estimate(mean=mean, ci95=(low, high), base=base)


def _by_image(pairs: Sequence[tuple[SeedResult, SeedResult]], metric: str) -> Floats | None:
    """Return the difference on each image, pairs in rows; None if a run lacks its values."""
    if not all(metric in run.images for pair in pairs for run in pair):
        return None
    reference, best = (
        np.array([pair[i].images[metric] for pair in pairs], dtype=np.float64) for i in (0, 1)
    )
    return best - reference


def _images_part(
    pairs: Sequence[tuple[SeedResult, SeedResult]], metric: str, num_images: int
) -> float:
    """Estimate the variance over images of two independent recipes' difference; 0 if unknown."""
    if metric_of(metric).counts_images:
        shares = [float(np.mean([p[i].metrics[metric] for p in pairs])) for i in (0, 1)]
        return sum(p * (1.0 - p) for p in shares) / num_images
    errors = [[p[i].metrics.get(f"{metric}_se", 0.0) for p in pairs] for i in (0, 1)]
    return float(sum(np.mean(np.square(of_recipe)) for of_recipe in errors))


def _combined(
    mean: float, seeds: float, seeds_dof: int, images: float, images_dof: int, alpha: float
) -> tuple[float, float]:
    squares = t_quantile(alpha, seeds_dof) ** 2 * seeds
    if images > 0.0:
        squares += t_quantile(alpha, images_dof) ** 2 * images
    half = math.sqrt(squares)
    return (mean - half, mean + half)


def _finite(runs: Mapping[int, SeedResult], names: Sequence[str]) -> dict[int, SeedResult]:
    return {
        seed: run
        for seed, run in runs.items()
        if all(math.isfinite(run.metrics.get(name, math.nan)) for name in names)
    }


def _means(runs: Sequence[SeedResult], names: Sequence[str]) -> dict[str, float]:
    return {name: float(np.mean([run.metrics[name] for run in runs])) for name in names}
