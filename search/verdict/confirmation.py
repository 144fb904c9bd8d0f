"""What fresh seeds show on the test images, and which recipe that lets one export."""

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
    """What recipes are compared by on the test images, where ``first`` is what decides."""
    return tuple(dict.fromkeys(metric.on("test") for metric in (first, TOP1, NLL)))


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """One confirmation run: one recipe, one seed, measured once on the test images.

    Attributes:
        metrics: On the test images, ``test/top1`` and so on.
        images: By metric, its value for each test image in the order of the dataset: for
            ``test/top1`` 1 where the image is right and 0 where it is wrong, for ``test/nll`` its
            log-loss. May lack either.
    """

    metrics: Mapping[str, float]
    images: Mapping[str, npt.NDArray[np.floating] | npt.NDArray[np.integer]] = field(
        default_factory=dict
    )


def confirm(
    results: Mapping[str, Mapping[int, SeedResult]],
    *,
    num_images: int,
    split: str = "test",
    first: Metric = TOP1,
) -> Confirmed:
    """Compare best with reference, paired by seed and by image.

    Only seeds that both recipes finished with finite metrics enter the comparison;
    `paired_interval` makes the interval. A metric that is no mean over images, or whose values per
    image are not known, takes the variance over images that two independent recipes would have,
    which is too wide rather than too narrow: binomial for a share of images, else from the standard
    error that the runs report as ``<metric>_se``. Without that, its interval is over seeds alone.

    Args:
        results: By role (``reference``, ``best``, ``off``), then by seed; ``off`` may have no run.
        num_images: Test images.
        split: Name of the split.
        first: What decides.

    Raises:
        ValueError: If reference or best has no finished run, or both share no seed.
    """
    names = confirm_metrics(first)
    finished = {role: _finite(of_seed, names) for role, of_seed in results.items()}
    missing = [role for role in ("reference", "best") if not finished.get(role)]
    shared = sorted(set(finished.get("reference", {})) & set(finished.get("best", {})))
    if missing or not shared:
        raise ValueError(
            "Reference and best must each have a finished run, and one with the same seed, "
            f"but {missing=} and {shared=}."
        )
    pairs = [(finished["reference"][seed], finished["best"][seed]) for seed in shared]
    return Confirmed(
        split=split,
        num_images=num_images,
        seeds=len(shared),
        reference=_means([reference for reference, _ in pairs], names),
        best=_means([best for _, best in pairs], names),
        off=_means(list(finished["off"].values()), names) if finished.get("off") else {},
        best_minus_reference={name: _difference(pairs, name, num_images) for name in names},
    )


def choose_export(
    confirmed: Confirmed | None,
    *,
    scaled_minus_reference: Estimate | None = None,
    diverged: Collection[str] = (),
    first: Metric = TOP1,
) -> str:
    """Which recipe to export: ``best``, ``scaled`` or ``reference``.

    The best, if it beats the reference on test images beyond noise. Otherwise what was found is
    luck until shown otherwise, and the size-scaled default is exported if it beats the reference on
    validation images beyond noise, else the reference.

    A reference that diverged is nothing to fall back on, and few of its runs are left to compare
    with: then the best is exported, or else the size-scaled default, whichever trains.

    Args:
        confirmed: The confirmation, or None if there was none.
        scaled_minus_reference: Change of the metric on validation images, or None if unknown.
        diverged: Roles of which at least half of the runs diverged, or none has a result.
        first: The metric that decides.
    """
    if "reference" in diverged:
        return next((role for role in ("best", "scaled") if role not in diverged), "reference")
    confirmed_change = confirmed.best_minus_reference.get(first.on("test")) if confirmed else None
    for role, change in (("best", confirmed_change), ("scaled", scaled_minus_reference)):
        if change is not None and change.times(first.sign).ci95[0] > 0.0 and role not in diverged:
            return role
    return "reference"


def paired_interval(differences: Floats, *, alpha: float = 0.05) -> tuple[float, float]:
    """Interval of a mean difference over both seeds and images, as samples of more of each.

    Model: mean + seed + image + rest. The variance of the overall mean is ``seed / S + image / N +
    rest / (S N)``. The mean squares over seeds and over images hold the rest once each, so it is
    taken off the one over images, of which there are many. Seeds are few, and one number of degrees
    of freedom for the sum is unstable with three of them; instead each part is widened by its own t
    quantile and the parts are added in squares (Burdick & Graybill 1992, Confidence Intervals on
    Variance Components). In simulations with 0/1 outcomes of 300 to 5000 images it covers at 94 to
    98 % with two or more seeds, whichever part dominates.

    Args:
        differences: Best less reference, seeds in rows, images in columns; one column if only
            means over images are known.
        alpha: Probability that the interval misses the mean.

    Returns:
        Both ends; infinite with a single seed.
    """
    num_seeds, num_images = differences.shape
    mean = float(differences.mean())
    if num_seeds < 2:
        return (-math.inf, math.inf)
    of_seeds, of_images = differences.mean(axis=1), differences.mean(axis=0)
    seeds_part = float(of_seeds.var(ddof=1)) / num_seeds
    images_part = 0.0
    if num_images > 1:
        rest = differences - of_seeds[:, None] - of_images[None, :] + mean
        rest_dof = (num_seeds - 1) * (num_images - 1)
        rest_part = float((rest**2).sum()) / rest_dof / (num_seeds * num_images)
        images_part = max(float(of_images.var(ddof=1)) / num_images - rest_part, 0.0)
    return _combined(mean, seeds_part, num_seeds - 1, images_part, num_images - 1, alpha)


def _difference(
    pairs: Sequence[tuple[SeedResult, SeedResult]], metric: str, num_images: int
) -> Estimate:
    gains = np.array([best.metrics[metric] - ref.metrics[metric] for ref, best in pairs])
    mean = float(gains.mean())
    if all(metric in run.images for pair in pairs for run in pair):
        by_image = np.array(
            [
                np.asarray(b.images[metric], float) - np.asarray(r.images[metric], float)
                for r, b in pairs
            ]
        )
        low, high = paired_interval(by_image)
        # The mean over images and the reported metric may differ in the last digits of float32.
        shift = mean - float(by_image.mean())
        return Estimate(mean=mean, ci95=(low + shift, high + shift))
    if len(gains) < 2:
        return Estimate(mean=mean, ci95=(-math.inf, math.inf))
    images_part = _images_part(pairs, metric, num_images)
    seeds_part = float(gains.var(ddof=1)) / len(gains)
    low, high = _combined(mean, seeds_part, len(gains) - 1, images_part, num_images - 1, 0.05)
    return Estimate(mean=mean, ci95=(low, high))


def _images_part(
    pairs: Sequence[tuple[SeedResult, SeedResult]], metric: str, num_images: int
) -> float:
    """Variance over images of the difference of two independent recipes; 0 if unknown."""
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
