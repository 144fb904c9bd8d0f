"""Coverage of the intervals of readings, by simulation.

    python -m benchmarks.readings --draws 2000
    python -m benchmarks.readings --draws 500 --seeds 3

A reading uses the same trained model in another way, so that few images turn, and the same ones in
most seeds: ``shared`` is the part of the turns that all seeds have in common. An interval is for
new seeds and new images of the kind: for what the reading changes in the long run.
"""

import argparse
import multiprocessing
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.planted.markdown import header, row, share
from search.verdict.confirmation import SeedResult
from search.verdict.readings import readings

NUM_IMAGES = (60, 120, 300, 1200)
TURNS = ((0.5, 0.0), (1.0, 1.0), (3.0, 0.5), (5.0, 5.0), (20.0, 10.0))
"""Expected numbers of images that turn right and wrong, of a run."""
SHARED = (0.0, 0.5, 0.9)
NUM_SEEDS = 5
"""Seeds of the advised recipe; a soup has three."""


def drawn(
    rng: np.random.Generator,
    turns: tuple[float, float],
    shared: float,
    num_images: int,
    num_seeds: int,
) -> npt.NDArray[np.float64]:
    """Draw what each image gains in each seed: 1, 0 or -1."""
    rates = np.array([turns[0], turns[1], max(0.0, num_images - sum(turns))]) / num_images
    rates = rates / rates.sum()
    values = np.array([1.0, -1.0, 0.0])
    common = rng.choice(values, size=num_images, p=rates)
    own = rng.choice(values, size=(num_seeds, num_images), p=rates)
    is_shared = rng.random((num_seeds, num_images)) < shared
    return np.where(is_shared, common, own)


def covers(
    turns: tuple[float, float],
    shared: float,
    num_images: int,
    seed: int,
    *,
    num_seeds: int = NUM_SEEDS,
) -> bool:
    """Draw one confirmation; whether the interval of the change holds the true one."""
    rng = np.random.default_rng([seed, num_images, round(10 * sum(turns)), round(10 * shared)])
    gained = drawn(rng, turns, shared, num_images, num_seeds)
    before = np.where(gained == 0.0, rng.random(gained.shape) < 0.9, gained < 0.0).astype(float)
    of = [
        {i: result(values) for i, values in enumerate(images)}
        for images in (before, before + gained)
    ]
    found = readings(of[0], {"flip": of[1]}, num_images=num_images)
    low, high = found["flip"].change["test/top1"].ci95
    return bool(low <= (turns[0] - turns[1]) / num_images <= high)


def result(right: npt.NDArray[np.float64]) -> SeedResult:
    """Make a confirmation run that gets these images right."""
    metrics = {"test/top1": float(right.mean()), "test/nll": 1.0 - float(right.mean())}
    return SeedResult(metrics=metrics, images={"test/top1": right, "test/nll": 1.0 - right})


def table(num: int, num_seeds: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    names = [f"{right:g} right, {wrong:g} wrong" for right, wrong in TURNS]
    print(*header("test images", "same in all seeds", *names, numeric=len(names)), sep="\n")
    with multiprocessing.Pool(2) as workers:
        for num_images in NUM_IMAGES:
            for shared in SHARED:
                rates = []
                for turns in TURNS:
                    of = partial(covers, turns, shared, num_images, num_seeds=num_seeds)
                    rates.append(share(float(np.mean(workers.map(of, range(num), chunksize=50)))))
                print(row(f"{num_images:,}", share(shared), *rates), flush=True)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=2000, help="of each condition")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS, help="of the recipe, 2 or more")
    args = parser.parse_args()
    table(args.draws, args.seeds)


if __name__ == "__main__":
    main()
