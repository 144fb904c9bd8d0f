"""Blocks that hold out fresh images each time against blocks that hold out other ones each time.

    python -m benchmarks.planted.folds --pools 1000
    python -m benchmarks.planted.folds --recorded

Each block of an experiment divides the pool of training and validation images afresh, so that two
blocks share some of their validation images. Cross-validation would give each block images of its
own: the folds of one partition, then those of the next. Both ways have equal runs on equal pools,
drawn image by image as in `benchmarks.planted.pool`, and the product's intervals. The columns:

- *off by*: root mean square of the estimate's difference from the true effect, in points;
- *+-*: median half-width of the 95 % interval, in points;
- *covers*: how often it holds the true effect;
- *found*: how often that of the strength that gains 3 points lies above zero.

The true effect is once that on the pool and once that on all images of its kind. How much effects
differ between splits is what folds can gain from; ``--recorded`` tells it of the real runs of
docs/planted.md.
"""

import argparse
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.planted.markdown import header, row, share
from benchmarks.planted.pool import (
    LARGE,
    NONE,
    RECORDED,
    Condition,
    Experiments,
    draw,
    effects_everywhere,
    fresh_splits,
)
from benchmarks.planted.record import DATA
from benchmarks.planted.simulation import SMOOTHING, TRAJECTORY
from search.verdict.blocked_model import block_columns, factor_columns
from search.verdict.effects import SPLIT_PRIOR, main_effect
from trainable.data.splits import Split

Floats = npt.NDArray[np.float64]
SIZES = ((60, 120), (60, 240), (60, 300), (300, 600))
"""Validation images and images of the pool: 300 and 600 are small-transfer, a folder holds out a
quarter of its pool, an official training part a fifth.
"""
DIFFER = (("not", NONE), ("as recorded", RECORDED), ("more", LARGE))


def folds(start: Split, labels: npt.NDArray[np.int64], rng: np.random.Generator) -> Iterator[Split]:
    """Hold out one fold of a stratified partition after another, then those of the next one."""
    from sklearn.model_selection import StratifiedKFold  # Slow to load.

    pool = np.sort(np.concatenate([start.train, start.val]))
    while True:
        partition = StratifiedKFold(
            len(pool) // len(start.val), shuffle=True, random_state=int(rng.integers(2**31))
        )
        for train, val in partition.split(pool, labels[pool]):
            yield replace(start, train=pool[train], val=pool[val])


WAYS = {"fresh": fresh_splits, "folds": folds}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Intervals of the four strengths on many pools.

    Attributes:
        off_here: Root mean square error for the effect on the pool, in points.
        off_everywhere: The same for that on all images.
        half: Median half-width, in points.
        here: Share of intervals that hold the effect on the pool.
        everywhere: The same for that on all images.
        found: Share of intervals of the planted strength that lie above zero.
    """

    off_here: float
    off_everywhere: float
    half: float
    here: float
    everywhere: float
    found: float


def measure(condition: Condition, drawn: Experiments, *, rounds: int) -> Found:
    """Hold the product's intervals after ``rounds`` blocks against the truth."""
    rows = drawn.blocks < rounds
    everywhere = effects_everywhere(condition.differ.tastes, condition.gains.get(SMOOTHING, 0.0))
    means, lows, highs, here, all_images = [], [], [], [], []
    for at, name in enumerate(TRAJECTORY):
        estimate = main_effect(
            drawn.levels[rows], drawn.blocks[rows], at, drawn.top1[rows], inflation=SPLIT_PRIOR
        )
        low, high = estimate.interval(0.05)
        means.append(estimate.mean)
        lows.append(low)
        highs.append(high)
        here.append(drawn.here[name])
        all_images.append(np.full_like(low, everywhere[name]))
    mean, low, high, of_pool, of_all = map(np.array, (means, lows, highs, here, all_images))
    planted = TRAJECTORY.index(SMOOTHING)
    return Found(
        off_here=_root_mean_square(mean - of_pool),
        off_everywhere=_root_mean_square(mean - of_all),
        half=50.0 * float(np.median(high - low)),
        here=float(np.mean((low <= of_pool) & (of_pool <= high))),
        everywhere=float(np.mean((low <= of_all) & (of_all <= high))),
        found=float(np.mean(low[planted] > 0.0)),
    )


def _root_mean_square(points: Floats) -> float:
    return 100.0 * float(np.sqrt(np.mean(np.square(points))))


def compare(condition: Condition, num: int, *, rounds: int) -> Mapping[str, Found]:
    """Measure both ways on pools drawn alike."""
    return {
        way: measure(condition, draw(condition, num, splits=splits), rounds=rounds)
        for way, splits in WAYS.items()
    }


def table(num: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    columns = ["effects differ", "validation images", "of a pool of", "runs", "blocks"]
    columns += ["off by, here", "on all", "+-", "covers here", "on all", "found"]
    print(*header(*columns, numeric=len(columns) - 1), sep="\n")
    for words, differ in DIFFER:
        for num_val, num_pool in SIZES:
            condition = Condition(num_val=num_val, num_pool=num_pool, differ=differ)
            for rounds in (2, 4):
                for way, found in compare(condition, num, rounds=rounds).items():
                    at = [words, str(num_val), str(num_pool), str(8 * rounds), way]
                    at += [f"{found.off_here:.2f}", f"{found.off_everywhere:.2f}"]
                    at += [f"{found.half:.2f}"]
                    at += map(share, (found.here, found.everywhere, found.found))
                    print(row(*at), flush=True)


def recorded_table() -> None:
    """Print how much effects on top-1 differed between the splits of recorded experiments.

    For each task, the mean square of effects between blocks over that between runs, averaged over
    its cases: 1 if effects do not differ, and 1 + 2 s**2 if their deviation from split to split is
    s times that from run to run, with eight runs a block. All cases with four blocks or more count.
    """
    ratios: dict[str, list[tuple[float, int]]] = {}
    for case, runs in _recorded().items():
        blocks, levels, top1 = (np.array(of) for of in zip(*runs, strict=True))
        inside = block_columns(blocks)
        if inside.shape[1] < 4:
            continue
        model = np.hstack([inside, factor_columns(levels, inside)])
        own = [inside * levels[:, [at]] for at in range(levels.shape[1])]
        left, dof = _residual(model, top1)
        rest, rest_dof = _residual(np.hstack([model, *own]), top1)
        ratio = ((left - rest) / (dof - rest_dof)) / (rest / rest_dof)
        ratios.setdefault(case.partition("/")[0], []).append((ratio, dof - rest_dof))
    print(*header("task", "cases", "mean square, blocks over runs", "s", numeric=3), sep="\n")
    for task, found in ratios.items():
        ratio, weight = np.array(found, float).T
        mean = float(np.average(ratio, weights=weight))
        spread = np.sqrt(max(0.0, (mean - 1.0) / 2.0))
        print(row(task, str(len(found)), f"{mean:.2f}", f"{spread:.2f}"))


def _recorded() -> Mapping[str, list[tuple[int, list[float], float]]]:
    """Read by case the block, levels and accuracy of each run, with the best's average."""
    found: dict[str, dict[int, list[tuple[int, list[float], float]]]] = {}
    with DATA.open(newline="") as file:
        for line in csv.DictReader(file):
            if line["kind"] == "block" and line["level"] == "best":
                levels = [1.0 if sign == "+" else -1.0 for sign in line["cell"]]
                run = (int(line["block"]), levels, float(line["val/top1"]))
                found.setdefault(line["case"], {}).setdefault(run[0], []).append(run)
    # A block in which a run diverged is no balanced one.
    return {
        case: [run for runs in blocks.values() if len(runs) == 8 for run in runs]
        for case, blocks in found.items()
    }


def _residual(model: Floats, values: Floats) -> tuple[float, int]:
    """Return the residual sum of squares of a model, and its degrees of freedom."""
    fitted, _, rank, _ = np.linalg.lstsq(model, values, rcond=None)
    return float(np.square(values - model @ fitted).sum()), len(values) - int(rank)


def main() -> None:
    """Simulate, or read what was recorded, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", type=int, default=1000, help="of each condition")
    parser.add_argument("--recorded", action="store_true", help="the runs of docs/planted.md")
    given = parser.parse_args()
    if given.recorded:
        recorded_table()
    else:
        table(given.pools)


if __name__ == "__main__":
    main()
