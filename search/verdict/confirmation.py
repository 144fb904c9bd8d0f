"""What fresh seeds show on the test images, and which recipe that lets one export."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search.verdict.blocked_model import t_quantile
from search.verdict.schema import Confirmed, Estimate

Floats = npt.NDArray[np.float64]

CONFIRM_METRICS = ("test/top1", "test/nll")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """One confirmation run: one recipe, one seed, measured once on the test images.

    Attributes:
        metrics: ``test/top1`` and ``test/nll``.
        images: By metric, its value for each test image in the order of the dataset: for
            ``test/top1`` 1 where the image is right and 0 where it is wrong, for ``test/nll`` its
            log-loss. May lack either.
    """

    metrics: Mapping[str, float]
    images: Mapping[str, npt.NDArray[np.floating] | npt.NDArray[np.integer]] = field(
        default_factory=dict
    )


def confirm(
    results: Mapping[str, Mapping[int, SeedResult]], *, num_images: int, split: str = "test"
) -> Confirmed:
    """Compare best with reference, paired by seed and by image.

    Only seeds that both recipes finished with finite metrics enter the comparison;
    `paired_interval` makes the interval. Without values per image, accuracy takes the variance over
    images that two independent recipes of these accuracies would have, which is too wide rather
    than too narrow, and log-loss has an interval over seeds alone.

    Args:
        results: By role (``reference``, ``best``, ``off``), then by seed; ``off`` may have no run.
        num_images: Test images.
        split: Name of the split.

    Raises:
        ValueError: If reference or best has no finished run, or both share no seed.
    """
    finished = {role: _finite(of_seed) for role, of_seed in results.items()}
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
        reference=_means([reference for reference, _ in pairs]),
        best=_means([best for _, best in pairs]),
        off=_means(list(finished["off"].values())) if finished.get("off") else {},
        best_minus_reference={m: _difference(pairs, m, num_images) for m in CONFIRM_METRICS},
    )


def choose_export(
    confirmed: Confirmed | None,
    *,
    scaled_minus_reference: Estimate | None = None,
    diverged: Collection[str] = (),
) -> str:
    """Which recipe to export: ``best``, ``scaled`` or ``reference``.

    The best, if its test accuracy beats the reference's beyond noise. Otherwise what was found is
    luck until shown otherwise, and the size-scaled default is exported if its validation accuracy
    beats the reference's beyond noise, else the reference.

    A reference that diverged is nothing to fall back on, and few of its runs are left to compare
    with: then the best is exported, or else the size-scaled default, whichever trains.

    Args:
        confirmed: The confirmation, or None if there was none.
        scaled_minus_reference: Gain in validation top-1, or None if unknown.
        diverged: Roles of which at least half of the runs diverged, or none has a result.
    """
    if "reference" in diverged:
        return next((role for role in ("best", "scaled") if role not in diverged), "reference")
    gain = confirmed.best_minus_reference.get("test/top1") if confirmed else None
    if gain is not None and gain.ci95[0] > 0.0 and "best" not in diverged:
        return "best"
    gain = scaled_minus_reference
    if gain is not None and gain.ci95[0] > 0.0 and "scaled" not in diverged:
        return "scaled"
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
    images_part = 0.0
    if metric.endswith("top1"):
        accuracies = [float(np.mean([p[i].metrics[metric] for p in pairs])) for i in (0, 1)]
        images_part = sum(p * (1.0 - p) for p in accuracies) / num_images
    seeds_part = float(gains.var(ddof=1)) / len(gains)
    low, high = _combined(mean, seeds_part, len(gains) - 1, images_part, num_images - 1, 0.05)
    return Estimate(mean=mean, ci95=(low, high))


def _combined(
    mean: float, seeds: float, seeds_dof: int, images: float, images_dof: int, alpha: float
) -> tuple[float, float]:
    squares = t_quantile(alpha, seeds_dof) ** 2 * seeds
    if images > 0.0:
        squares += t_quantile(alpha, images_dof) ** 2 * images
    half = math.sqrt(squares)
    return (mean - half, mean + half)


def _finite(runs: Mapping[int, SeedResult]) -> dict[int, SeedResult]:
    return {
        seed: run
        for seed, run in runs.items()
        if all(math.isfinite(run.metrics.get(metric, math.nan)) for metric in CONFIRM_METRICS)
    }


def _means(runs: Sequence[SeedResult]) -> dict[str, float]:
    return {m: float(np.mean([run.metrics[m] for run in runs])) for m in CONFIRM_METRICS}
