"""Coverage and power of the confirmation on few and many test images, by simulation.

    python -m benchmarks.planted.confirmation --draws 1000

Recipes and their runs are drawn image by image, `search.verdict.confirmation.confirm` makes the
intervals. A run has a latent score on each image: how easy the image is for the recipe, what the
seed does to all images, and what it does to this one. An image is right where the score is above
zero; its log-loss falls smoothly with the score. What is covered is the gain over further seeds
*and* further images. The advised recipe and the reference have five seeds, what they are compared
with besides has three; the seeds are the same, and so are the images.

Noise of a seed is what moves the accuracy on very many images: 1.2 points as on small-transfer
(where five seeds and 1,200 images left +-2.0 points), three times that on one side, and twice that
on both.
"""

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.planted.markdown import header, row, share
from search.verdict.confirmation import SeedResult, confirm
from search.verdict.schema import Estimate

Floats = npt.NDArray[np.float64]

NUM_IMAGES = (60, 120, 300, 600, 1200)
GAINS = (0.0, 1.0, 2.0, 3.0, 5.0)
"""Points of top-1 by which the advised recipe is better."""
SEEDS = {"reference": 5, "off": 3}
"""Seeds of what the advised recipe is compared with; `search.plan.resources.FEW_SEEDS` for most."""
ACCURACY = 0.88
"""Of the recipe that the advised one is compared with."""
IMAGE, ALIKE = 0.85, 0.95
"""Deviation of the score between images, and its correlation between two recipes.

Of the whole deviation of 1. Two seeds of one recipe then differ on 12 % of the images.
"""
STEEPNESS = 4.0
"""Factor that turns a score into the logit of being right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Deviation between seeds on very many images, in points of top-1."""

    advised: float
    other: float

    def __str__(self) -> str:
        return f"{self.advised:g} and {self.other:g}"


NOISES = (
    Noise(advised=1.2, other=1.2),
    Noise(advised=1.2, other=3.6),
    Noise(advised=2.4, other=2.4),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Interval of one comparison, and the truth of it."""

    top1: Estimate
    nll: Estimate
    true_top1: float
    true_nll: float


def scores(
    rng: np.random.Generator, means: Floats, seed_sds: Floats, *, num_seeds: int, num_images: int
) -> Floats:
    """Latent scores by recipe, seed and image; over seeds and images each has a variance of 1.

    Args:
        rng: Draws them.
        means: Mean score of each recipe.
        seed_sds: Deviation between seeds of each recipe.
        num_seeds: Of each recipe.
        num_images: The same for all runs.
    """
    num = len(means)
    shared = rng.normal(size=(1, 1, num_images)) * np.sqrt(ALIKE)
    own = rng.normal(size=(num, 1, num_images)) * np.sqrt(1 - ALIKE)
    of_seed = rng.normal(size=(num, num_seeds, 1)) * seed_sds[:, None, None]
    rest_sd = np.sqrt(1 - IMAGE**2 - seed_sds**2)[:, None, None]
    rest = rng.normal(size=(num, num_seeds, num_images)) * rest_sd
    found: Floats = means[:, None, None] + IMAGE * (shared + own) + of_seed + rest
    return found


def losses(score: Floats) -> Floats:
    """Log-loss of an image of which this is the score."""
    found: Floats = np.logaddexp(0.0, -STEEPNESS * score)
    return found


@cache
def mean_loss(mean: float) -> float:
    """Log-loss over all seeds and images of a recipe with this mean score."""
    at, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ losses(mean + at) / weights.sum())


def draw(gain: float, noise: Noise, num_images: int, seed: int) -> dict[str, Seen]:
    """One confirmation, by what the advised recipe is compared with."""
    tenths = (round(10 * each) for each in (gain, noise.advised, noise.other))
    rng = np.random.default_rng([seed, num_images, *tenths])
    accuracies = np.array([ACCURACY + gain / 100, ACCURACY])
    means = np.asarray(stats.norm.ppf(accuracies))
    slopes = 100 * np.asarray(stats.norm.pdf(means))
    seed_sds = np.array([noise.advised, noise.other]) / slopes
    num_seeds = max(SEEDS.values())
    advised, other = (
        [result_of(of_seed) for of_seed in of_recipe]
        for of_recipe in scores(rng, means, seed_sds, num_seeds=num_seeds, num_images=num_images)
    )
    results = {role: dict(enumerate(other[:most])) for role, most in SEEDS.items()}
    found = confirm({**results, "advised": dict(enumerate(advised))}, num_images=num_images)
    return {
        role: Seen(
            top1=found.advised_minus[role]["test/top1"],
            nll=found.advised_minus[role]["test/nll"],
            true_top1=gain / 100,
            true_nll=mean_loss(float(means[0])) - mean_loss(float(means[1])),
        )
        for role in SEEDS
    }


def result_of(score: Floats) -> SeedResult:
    """Return what a run with these scores, one per image, reports."""
    # As stored: half precision for log-loss.
    right, loss = (score > 0.0).astype(float), losses(score).astype("<f2").astype(float)
    return SeedResult(
        metrics={"test/top1": float(right.mean()), "test/nll": float(loss.mean())},
        images={"test/top1": right, "test/nll": loss},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Of many draws of one number of images, noise and number of seeds.

    Attributes:
        coverage: Of the 95 % intervals of top-1, whatever the gain.
        nll_coverage: The same of log-loss.
        half: Median half-width for top-1, in points.
        power: By gain, how often the interval lies above zero.
    """

    coverage: float
    nll_coverage: float
    half: float
    power: dict[float, float]


def summarize(seen: Mapping[float, Sequence[Seen]]) -> Summary:
    """Shares over draws, by gain."""
    everything = [one for of_gain in seen.values() for one in of_gain]
    return Summary(
        coverage=_mean([_holds(one.top1, one.true_top1) for one in everything]),
        nll_coverage=_mean([_holds(one.nll, one.true_nll) for one in everything]),
        half=100 * float(np.median([(o.top1.ci95[1] - o.top1.ci95[0]) / 2 for o in everything])),
        power={
            gain: _mean([one.top1.ci95[0] > 0.0 for one in of_gain])
            for gain, of_gain in seen.items()
        },
    )


def _holds(estimate: Estimate, truth: float) -> bool:
    return estimate.ci95[0] <= truth <= estimate.ci95[1]


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values))


def simulate(noise: Noise, num_images: int, seed: int) -> dict[float, dict[str, Seen]]:
    """One draw for each gain."""
    return {gain: draw(gain, noise, num_images, seed) for gain in GAINS}


def table(num: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    columns = ["test images", "noise of a seed, advised and other", "seeds", "covers", "log-loss"]
    columns += ["half-width", "says better at 0", *(f"at {g:g}" for g in GAINS[1:])]
    print(*header(*columns, numeric=len(columns)), sep="\n")
    with multiprocessing.Pool() as workers:
        for noise in NOISES:
            for num_images in NUM_IMAGES:
                drawn = workers.map(partial(simulate, noise, num_images), range(num), chunksize=10)
                for role, num_seeds in SEEDS.items():
                    seen = {gain: [of[gain][role] for of in drawn] for gain in GAINS}
                    found = summarize(seen)
                    cells = [f"{num_images:,}", str(noise), str(num_seeds)]
                    cells += [share(found.coverage), share(found.nll_coverage)]
                    cells += [f"{found.half:.1f}", *map(share, found.power.values())]
                    print(row(*cells), flush=True)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000, help="of each gain, noise and size")
    table(parser.parse_args().draws)


if __name__ == "__main__":
    main()
