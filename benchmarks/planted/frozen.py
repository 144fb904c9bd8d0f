"""Error of the sentence that fine-tuning does not pay, by simulation.

    python -m benchmarks.planted.frozen --draws 400

Test images, seeds and recipes are drawn as in `benchmarks.planted.confirmation`, with a linear
probe and nearest neighbours of equal accuracy in place of the other recipes. Their noise over
splits is half of a training run's. The sentence is false if the advised recipe is really better by
the margin of half a point or more ("as good"), or is really no worse ("better").
"""

import argparse
import multiprocessing
from functools import partial

import numpy as np
from scipy import stats

from benchmarks.planted.confirmation import ACCURACY, result_of, scores
from benchmarks.planted.markdown import header, row, share
from search.verdict.answer.problem import frozen_sentence
from search.verdict.confirmation import FROZEN_ROLES, confirm

NUM_IMAGES = (120, 300, 1200)
GAINS = (3.0, 1.0, 0.5, 0.0, -1.0, -3.0)
"""Points of top-1 by which the advised recipe is better than both classifiers."""
NOISE, FROZEN_NOISE = 1.2, 0.6
"""Deviation between seeds on very many images, in points of top-1."""
NUM_SEEDS = 5


def sentence(gain: float, num_images: int, seed: int) -> str:
    """Draw one confirmation and return what is said of fine-tuning."""
    rng = np.random.default_rng([seed, num_images, round(10 * gain) + 1000])
    accuracies = np.array([ACCURACY, *(ACCURACY - gain / 100 for _ in FROZEN_ROLES)])
    means = np.asarray(stats.norm.ppf(accuracies))
    noises = np.array([NOISE, *(FROZEN_NOISE for _ in FROZEN_ROLES)])
    seed_sds = noises / (100 * np.asarray(stats.norm.pdf(means)))
    drawn = scores(rng, means, seed_sds, num_seeds=NUM_SEEDS, num_images=num_images)
    results = {
        role: {seed: result_of(of_seed) for seed, of_seed in enumerate(of_role)}
        for role, of_role in zip(("advised", *FROZEN_ROLES), drawn, strict=True)
    }
    return frozen_sentence(confirm(results, num_images=num_images))


def table(num: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    names = [f"{gain:+g}" for gain in GAINS]
    print(*header("test images", "says", *names, numeric=len(names)), sep="\n")
    with multiprocessing.Pool() as workers:
        for num_images in NUM_IMAGES:
            said = {
                gain: workers.map(partial(sentence, gain, num_images), range(num), chunksize=10)
                for gain in GAINS
            }
            better = [float(np.mean(["better on" in t for t in of])) for of in said.values()]
            either = [float(np.mean([bool(t) for t in of])) for of in said.values()]
            print(row(f"{num_images:,}", "better", *map(share, better)))
            print(row(f"{num_images:,}", "as good or better", *map(share, either)), flush=True)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=400, help="of each gain and size")
    table(parser.parse_args().draws)


if __name__ == "__main__":
    main()
