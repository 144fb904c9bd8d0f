"""Coverage of the interval of a test gain where images come in groups that are alike.

    python -m benchmarks.planted.grouped_images --draws 1000

Two recipes are right or wrong on each test image. Each image has a difficulty that both share, and
each group moves how much better the second recipe is on its images: a patient whose scans it gets
all right, another whose scans it gets all wrong. The truth is the gain over further groups, images
and seeds. The interval by images takes all images as independent, the one by groups does not
(`search.verdict.confirmation.paired_interval`).
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from search.verdict.confirmation import paired_interval

NUM_SEEDS = 5
SHARE_RIGHT = 0.85
GAIN = 0.05
NOISE_OF_A_SEED = 0.01
"""Standard deviation of a recipe's share of right images from seed to seed."""


def outcomes(
    rng: np.random.Generator, groups: NDArray[np.int64], *, spread: float
) -> NDArray[np.float64]:
    """Draw differences of outcomes, -1, 0 or 1, of shape seed, image.

    Args:
        rng: Source of randomness.
        groups: Number of the group of each image, from 0.
        spread: Standard deviation of the gain from group to group, before it is cut at 0.15, where
            every image is right, and as far below its mean.
    """
    own = np.clip(rng.normal(GAIN, spread, groups.max() + 1), 2 * GAIN - 0.15, 0.15)[groups]
    moved = rng.normal(0.0, NOISE_OF_A_SEED, (2, NUM_SEEDS, 1))
    # Part of what makes an image hard lasts over seeds, and both recipes share it.
    lasting = rng.random(len(groups)) < 0.7
    shared = rng.random(len(groups))
    fresh = rng.random((2, NUM_SEEDS, len(groups)))
    drawn = np.where(lasting, shared, fresh)
    first = drawn[0] < SHARE_RIGHT + moved[0]
    second = drawn[1] < SHARE_RIGHT + own + moved[1]
    return np.asarray(second.astype(np.float64) - first)


def coverage(
    *, num_groups: int, images_per_group: int, spread: float, draws: int, seed: int = 0
) -> tuple[float, float, float, float]:
    """Simulate intervals by images and by groups.

    Returns:
        Share of each that holds the truth, then the median half-width of each.
    """
    rng = np.random.default_rng(seed)
    held, halves = np.zeros((draws, 2), bool), np.zeros((draws, 2))
    for draw in range(draws):
        # Groups of unequal size, as patients are.
        sizes = rng.poisson(images_per_group - 1, num_groups) + 1
        groups = np.repeat(np.arange(num_groups), sizes)
        found = outcomes(rng, groups, spread=spread)
        for way, known in enumerate((None, groups)):
            low, high = paired_interval(found, groups=known)
            held[draw, way] = low <= GAIN <= high
            halves[draw, way] = (high - low) / 2
    by_images, by_groups = held.mean(axis=0).tolist()
    half_images, half_groups = np.median(halves, axis=0).tolist()
    return by_images, by_groups, half_images, half_groups


def main() -> None:
    """Print a row for each number and size of groups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    head = ["test groups", "images a group", "gain of a group varies by"]
    head += ["by images covers", "+-", "by groups", "+-"]
    print(f"| {' | '.join(head)} |")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    for num_groups in (10, 30, 100):
        for images_per_group in (10, 30):
            for spread in (0.0, 0.1):
                images, grouped, half_images, half_groups = coverage(
                    num_groups=num_groups,
                    images_per_group=images_per_group,
                    spread=spread,
                    draws=draws,
                )
                print(
                    f"| {num_groups} | {images_per_group} | {spread:.0%} | {images:.1%} | "
                    f"{100 * half_images:.1f} | {grouped:.1%} | {100 * half_groups:.1f} |"
                )


if __name__ == "__main__":
    main()
