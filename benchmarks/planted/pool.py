"""Experiments whose images come from one small pool: which effect the 95 % intervals hold.

    python -m benchmarks.planted.pool --pools 1000

Blocks divide one pool of labelled images into training and validation again and again. So there are
two effects that an interval may be asked for: the one on this pool, which is the mean over all its
splits, and the one on all images of its kind, of which the pool is a sample. Pools are drawn, then
splits of each by `trainable.data.splits`, one to a block; cells and intervals are the product's,
after two blocks and after four. What is drawn is whether each run is right on each validation
image: images differ in how easy they are, and each strength helps some and hurts others. How much,
is given by what it does to an effect: its deviation from split to split over the deviation between
runs, for 300 images of 600 (about a third is recorded, docs/planted.md; here a part of it is due to
images and a part to what was trained on). Image by image it is the same whatever the size of the
pool, so that effects differ more between the splits of a small one.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.planted.markdown import header, row, share
from benchmarks.planted.simulation import SMOOTHING, TRAJECTORY
from search.verdict.design import EMA_FACTOR, cells
from search.verdict.effects import SPLIT_PRIOR, main_effect, mean_difference
from trainable.data.splits import Split, resplit, stratified_split

Floats = npt.NDArray[np.float64]
Splits = Callable[[Split, npt.NDArray[np.int64], np.random.Generator], Iterator[Split]]
"""Yields the split of one block after another, from a first split, the labels and a generator."""

NUM_CLASSES = 10
MEAN = float(stats.norm.ppf(0.88))
"""Mean score: a run is right on 88 % of all images."""
SLOPE = float(stats.norm.pdf(MEAN))
"""By how much accuracy rises with the score."""
IMAGE = 0.85
"""Deviation of the score between images, of a whole deviation of 1, as in `confirmation`."""
SEED, BLOCK, AVERAGE = 0.012 / SLOPE, 0.015 / SLOPE, 0.006 / SLOPE
"""Deviation of a run's score on all images, of a block's, and between averages of a run."""
NUM_BLOCKS = 4
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=len(TRAJECTORY))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """The variation of effects between images and between training sets.

    Attributes:
        tastes: Standard deviation between images of a strength's effect on their score.
        trained: Standard deviation of an effect between training sets, in points.
    """

    tastes: float = 0.0
    trained: float = 0.0


NONE = Differences()
RECORDED = Differences(tastes=0.45, trained=0.3)
"""An effect on 300 of 600 images differs between splits by a third of the deviation of runs."""
LARGE = Differences(tastes=0.8, trained=0.6)
"""By half of it, the most that was recorded for accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A pool and what strengths do on it.

    Attributes:
        num_val: Validation images.
        num_pool: Images of the pool, training and validation together.
        differ: How much effects differ.
        gains: True gain of a strength's change on all images, in points.
    """

    num_val: int
    num_pool: int
    differ: Differences = NONE
    gains: Mapping[str, float] = field(default_factory=lambda: {SMOOTHING: 3.0})

    @property
    def slopes(self) -> Floats:
        """Mean change of the score by each strength."""
        return np.array([self.gains.get(name, 0.0) for name in TRAJECTORY]) / 100 / SLOPE

    @property
    def rest(self) -> float:
        """Deviation of a score that is neither the image's nor the run's."""
        return float(np.sqrt(1.0 - IMAGE**2 - SEED**2 - BLOCK**2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Images drawn for a pool.

    Attributes:
        easy: Score of each that all recipes share.
        tastes: What each strength does to the score of each, beside its mean.
        average: What going to the best's average does to it.
    """

    easy: Floats
    tastes: Floats
    average: Floats

    def effects(self, condition: Condition) -> dict[str, float]:
        """Expected effect of each strength's change on top-1 over these images and all seeds."""
        of_image = condition.slopes[None, :] + self.tastes
        score = MEAN + self.easy[:, None] + of_image @ CORNERS.T / 2
        noise = np.sqrt(1.0 - IMAGE**2)
        right = stats.norm.cdf(score / noise).mean(axis=0)
        found = {
            name: float(right[CORNERS[:, at] > 0].mean() - right[CORNERS[:, at] < 0].mean())
            for at, name in enumerate(TRAJECTORY)
        }
        lagging = (score - self.average[:, None]) / np.hypot(noise, np.sqrt(2.0) * AVERAGE)
        return {**found, EMA_FACTOR: float(right.mean() - stats.norm.cdf(lagging).mean())}


def draw_images(condition: Condition, num: int, rng: np.random.Generator) -> Images:
    """Draw images; their scores have the same variance at every corner of the design."""
    tastes = rng.normal(0.0, condition.differ.tastes, (num, len(TRAJECTORY)))
    own = np.sqrt(IMAGE**2 - len(TRAJECTORY) * condition.differ.tastes**2 / 4)
    return Images(
        easy=rng.normal(0.0, own, num),
        tastes=tastes,
        average=rng.normal(0.0, condition.differ.tastes / 2, num),
    )


@cache
def effects_everywhere(tastes: float, gain: float) -> Mapping[str, float]:
    """The effects on all images of the kind: on very many of them."""
    condition = Condition(
        num_val=1, num_pool=2, differ=Differences(tastes=tastes), gains={SMOOTHING: gain}
    )
    parts = [
        draw_images(condition, 20_000, np.random.default_rng(seed)).effects(condition)
        for seed in range(20)
    ]
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiments:
    """Experiments of equal design on pools of their own, one in each column.

    Attributes:
        levels: Of the strengths, runs in rows.
        blocks: Block of each run.
        top1: Accuracy of each run on its validation images, with the best's average.
        gaps: What the best's average adds to that of the reference.
        here: By strength, the effect on each pool.
    """

    levels: Floats
    blocks: npt.NDArray[np.int64]
    top1: Floats
    gaps: Floats
    here: Mapping[str, Floats]


def fresh_splits(
    start: Split, labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> Iterator[Split]:
    """Divide the pool afresh for each block, as the experiment does."""
    while True:
        yield resplit(start, labels, seed=int(rng.integers(2**31)))


def draw(
    condition: Condition, num: int, *, seed: int = 0, splits: Splits = fresh_splits
) -> Experiments:
    """Draw pools, and all blocks of an experiment on each."""
    rng = np.random.default_rng([seed, condition.num_pool, condition.num_val])
    layout = [
        (cell, block) for block in range(NUM_BLOCKS) for cell in cells(TRAJECTORY, block=block)
    ]
    levels = np.array([[cell[name] for name in TRAJECTORY] for cell, _ in layout], float)
    blocks = np.array([block for _, block in layout])
    labels = np.arange(condition.num_pool) % NUM_CLASSES
    num_train = condition.num_pool - condition.num_val
    start = stratified_split(labels, num_train=num_train, num_val=condition.num_val, seed=0)
    top1, gaps = np.empty((2, len(levels), num))
    pools = [draw_images(condition, condition.num_pool, rng) for _ in range(num)]
    for column, images in enumerate(pools):
        for block, split in zip(range(NUM_BLOCKS), splits(start, labels, rng), strict=False):
            rows = blocks == block
            top1[rows, column], gaps[rows, column] = _measured(
                condition, images, split, levels[rows], rng
            )
    effects = [images.effects(condition) for images in pools]
    return Experiments(
        levels=levels,
        blocks=blocks,
        top1=top1,
        gaps=gaps,
        here={name: np.array([of[name] for of in effects]) for name in effects[0]},
    )


def _measured(
    condition: Condition, images: Images, split: Split, levels: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Accuracy of the runs of one block, and what the best's average adds."""
    easy, tastes, average = (of[split.val] for of in (images.easy, images.tastes, images.average))
    trained = rng.normal(0.0, condition.differ.trained / 100 / SLOPE, len(TRAJECTORY))
    score = MEAN + easy + levels @ (condition.slopes + trained + tastes).T / 2
    of_run = rng.normal(0.0, SEED, (len(levels), 1)) + rng.normal(0.0, BLOCK)
    score = score + of_run + rng.normal(0.0, condition.rest, score.shape)
    noise = rng.normal(0.0, AVERAGE, (len(levels), 1)) + rng.normal(0.0, AVERAGE, score.shape)
    right, lagging = score > 0.0, score - average - noise > 0.0
    return right.mean(axis=1), (right.mean(axis=1) - lagging.mean(axis=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Coverage of 95 % intervals of top-1, for the effect on this pool and that on all images.

    Attributes:
        here: The effect on the pool of the experiment, of the four strengths.
        anywhere: That on all images.
        average: That on the pool, of the average.
        half: Median half-width for the four strengths, in points.
        spread: Deviation of the effects between pools, in points.
    """

    here: float
    anywhere: float
    average: float
    half: float
    spread: float


def summarize(condition: Condition, drawn: Experiments, *, rounds: int) -> Summary:
    """Intervals of the first ``rounds`` blocks, by the product's code."""
    rows = drawn.blocks < rounds
    levels, blocks = drawn.levels[rows], drawn.blocks[rows]
    found = {
        name: main_effect(levels, blocks, at, drawn.top1[rows], inflation=SPLIT_PRIOR)
        for at, name in enumerate(TRAJECTORY)
    }
    found[EMA_FACTOR] = mean_difference(levels, blocks, drawn.gaps[rows])
    intervals = {name: contrast.interval(0.05) for name, contrast in found.items()}
    everywhere = effects_everywhere(condition.differ.tastes, condition.gains.get(SMOOTHING, 0.0))

    def covers(truth: Mapping[str, Floats | float], names: Sequence[str]) -> float:
        ends = [(truth[name], *intervals[name]) for name in names]
        return float(np.mean([(low <= at) & (at <= high) for at, low, high in ends]))

    widths = [high - low for low, high in (intervals[name] for name in TRAJECTORY)]
    off = [drawn.here[name] - everywhere[name] for name in TRAJECTORY]
    return Summary(
        here=covers(drawn.here, TRAJECTORY),
        anywhere=covers(everywhere, TRAJECTORY),
        average=covers(drawn.here, [EMA_FACTOR]),
        half=50.0 * float(np.median(widths)),
        spread=100.0 * float(np.sqrt(np.mean(np.square(off)))),
    )


CONDITIONS = (
    ("not", Condition(num_val=60, num_pool=120)),
    *(
        ("as recorded", Condition(num_val=num_val, num_pool=num_pool, differ=RECORDED))
        for num_val, num_pool in ((60, 120), (60, 360), (120, 240), (300, 600))
    ),
    *(
        ("more", Condition(num_val=num_val, num_pool=num_pool, differ=LARGE))
        for num_val, num_pool in ((60, 120), (120, 240), (300, 600))
    ),
)


def table(num: int) -> None:
    """Print the Markdown table of docs/verdict.md."""
    columns = ["validation images", "of a pool of", "effects differ", "pools by, points", "runs"]
    columns += ["intervals, +-", "cover the effect here", "on all images"]
    columns += ["of the average, here"]
    print(*header(*columns, numeric=len(columns)), sep="\n")
    for words, condition in CONDITIONS:
        drawn = draw(condition, num)
        for rounds in (2, NUM_BLOCKS):
            found = summarize(condition, drawn, rounds=rounds)
            cells_ = [str(condition.num_val), str(condition.num_pool), words]
            cells_ += [f"{found.spread:.1f}", str(8 * rounds), f"{found.half:.1f}"]
            cells_ += map(share, (found.here, found.anywhere, found.average))
            print(row(*cells_), flush=True)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", type=int, default=1000, help="of each condition")
    table(parser.parse_args().pools)


if __name__ == "__main__":
    main()
