"""Coverage of intervals of balanced accuracy and macro-F1 on few images of rare classes.

    python -m benchmarks.planted.balanced confirmation --draws 1000

Everything is drawn image by image, and the product's own functions make the intervals:

- *run*: predictions from a known confusion matrix; value plus and minus 1.96 of the standard
  error that a run reports (`trainable.evaluation`).
- *confirmation*: two recipes with five or three seeds on the same test images
  (`search.verdict.confirmation.confirm`); the truth is over further seeds and images.
- *experiment*: runs in blocks, each of which divides a pool of images afresh
  (`search.verdict.effects`, `search.verdict.dials`); one strength costs the rarer classes, three do
  nothing. The truth is over all images of the pool.

Runs have a latent score on each image, as in `benchmarks.planted.confirmation`: how easy the image
is, what the seed does to all images and to each class, and what it does to this one. A wrong image
is predicted as another class, in proportion to how many images those have.
"""

import argparse
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.planted.confirmation import ALIKE, IMAGE
from benchmarks.planted.markdown import header, row, share
from benchmarks.planted.simulation import (
    BEST,
    FACTORS,
    REFERENCE,
    SCHEDULE,
    SMOOTHING,
    TASK,
    TRAJECTORY,
    TURNED,
    newest_look,
)
from search.records.metrics import BALANCED_TOP1, MACRO_F1, Metric
from search.verdict.confirmation import SeedResult, confirm
from search.verdict.design import cells
from search.verdict.dials import decide
from search.verdict.effects import Run
from search.verdict.judgement import Look
from search.verdict.looking import may_stop, rounds_of
from search.verdict.schema import Dial
from trainable.evaluation import class_metrics

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

METRICS = (BALANCED_TOP1, MACRO_F1)
SEED = 0.06
"""Deviation of a run's score on all images, of the deviation of 1 between images and runs."""
SEED_OF_CLASS = 0.12
"""The same for all images of one class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """Classes of a part of the data.

    Attributes:
        name: For the table.
        sizes: Images of each class.
        recalls: Share of each class that the better recipe recognises.
        worse: The same of the worse one.
    """

    name: str
    sizes: tuple[int, ...]
    recalls: tuple[float, ...]
    worse: tuple[float, ...]

    @property
    def labels(self) -> Integers:
        """Class of each image."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


_TAIL = (0.97, 0.94, 0.9, 0.8, 0.6)
_TEN = tuple(np.linspace(0.98, 0.6, 10).tolist())
CASES = (
    Classes(
        name="120, 60, 30, 15, 8",
        sizes=(120, 60, 30, 15, 8),
        recalls=_TAIL,
        worse=(0.97, 0.94, 0.9, 0.7, 0.4),
    ),
    Classes(
        name="the same, nearly all right",
        sizes=(120, 60, 30, 15, 8),
        recalls=(0.99, 0.99, 0.98, 0.97, 0.95),
        worse=(0.99, 0.99, 0.98, 0.97, 0.9),
    ),
    Classes(name="the same, equal recipes", sizes=(120, 60, 30, 15, 8), recalls=_TAIL, worse=_TAIL),
    Classes(name="292, 8", sizes=(292, 8), recalls=(0.98, 0.6), worse=(0.98, 0.4)),
    Classes(
        name="292, 8, nearly all right", sizes=(292, 8), recalls=(0.99, 0.95), worse=(0.99, 0.9)
    ),
    Classes(name="ten of 8", sizes=(8,) * 10, recalls=(0.9,) * 10, worse=(0.85,) * 10),
    Classes(name="fifty of 4", sizes=(4,) * 50, recalls=(0.9,) * 50, worse=(0.85,) * 50),
    Classes(
        name="400 to 8 in ten",
        sizes=(400, 240, 150, 90, 60, 36, 22, 13, 8, 8),
        recalls=_TEN,
        worse=tuple(np.linspace(0.98, 0.5, 10).tolist()),
    ),
)


def predicted(right: npt.NDArray[np.bool_], labels: Integers, uniform: Floats) -> Integers:
    """Predict the true class where right, else another, the more often the larger it is."""
    sizes = np.bincount(labels)
    chance = np.tile(sizes.astype(float), (len(sizes), 1))
    np.fill_diagonal(chance, 0.0)
    ends = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
    ends[:, -1] = 1.0
    other = (uniform[..., None] > ends[labels]).sum(axis=-1)
    return np.where(right, labels, other).astype(np.int64)


def expected(sizes: Sequence[int], recalls: Floats) -> dict[str, float]:
    """Both metrics on very many images, in these proportions of classes."""
    of_class = np.array(sizes, float)
    wrong = of_class * (1 - recalls)
    # Share of the wrong images of class i that are predicted as j: sizes_j / (total - sizes_i).
    share_ = of_class[None, :] / (of_class.sum() - of_class)[:, None]
    np.fill_diagonal(share_, 0.0)
    hits = of_class * recalls
    as_class = hits + wrong @ share_
    f1 = 2 * hits / (of_class + as_class)
    return {BALANCED_TOP1.name: float(recalls.mean()), MACRO_F1.name: float(f1.mean())}


def one_run(case: Classes, seed: int) -> dict[str, bool]:
    """Whether the interval of a single run holds the truth, by metric."""
    rng = np.random.default_rng([seed, 1, *case.sizes])
    labels, recalls = case.labels, np.array(case.recalls)
    right = rng.random(len(labels)) < recalls[labels]
    found = class_metrics(
        labels, predicted(right, labels, rng.random(len(labels))), len(case.sizes)
    )
    truth = expected(case.sizes, recalls)
    return {
        name: abs(metric.value - truth[name]) <= 1.96 * metric.std_error
        for name, metric in found.items()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One comparison: whether its interval holds the truth, its half-width, and whether it is
    above zero.
    """

    holds: bool
    half: float
    is_better: bool


def confirmation(case: Classes, num_seeds: int, seed: int) -> dict[str, Seen]:
    """One confirmation of the better recipe against the worse one, by metric."""
    rng = np.random.default_rng([seed, 2, num_seeds, *case.sizes])
    labels = case.labels
    num = len(labels)
    recalls = np.array([case.recalls, case.worse])
    easy = rng.normal(size=num) * np.sqrt(ALIKE)
    own = rng.normal(size=(2, 1, num)) * np.sqrt(1 - ALIKE)
    of_seed = rng.normal(size=(2, num_seeds, 1)) * SEED
    of_class = rng.normal(size=(2, num_seeds, len(case.sizes)))[..., labels] * SEED_OF_CLASS
    rest_sd = np.sqrt(1 - IMAGE**2 - SEED**2 - SEED_OF_CLASS**2)
    rest = rng.normal(size=(2, num_seeds, num)) * rest_sd
    means = np.asarray(stats.norm.ppf(recalls))[:, None, labels]
    right = means + IMAGE * (easy + own) + of_seed + of_class + rest > 0.0
    # Where it is wrong an image looks like one other class, to both recipes and all seeds.
    said = predicted(right, labels, np.broadcast_to(rng.random(num), right.shape))
    results = {
        role: {s: _result(labels, said[i, s], len(case.sizes)) for s in range(num_seeds)}
        for i, role in enumerate(("advised", "reference"))
    }
    better, worse = (expected(case.sizes, of_recipe) for of_recipe in recalls)
    seen = {}
    for metric in METRICS:
        found = confirm(results, num_images=num, first=metric)
        gain = found.advised_minus["reference"][metric.on("test")]
        low, high = gain.ci95
        truth = better[metric.name] - worse[metric.name]
        seen[metric.name] = Seen(
            holds=low <= truth <= high, half=50 * (high - low), is_better=low > 0.0
        )
    return seen


def _result(labels: Integers, said: Integers, num_classes: int) -> SeedResult:
    found = class_metrics(labels, said, num_classes)
    values = {f"test/{name}": metric.value for name, metric in found.items()}
    right = labels == said
    return SeedResult(
        metrics={**values, "test/top1": float(right.mean()), "test/nll": 1.0},
        images={f"test/{name}": metric.contributions for name, metric in found.items()},
        classes=labels,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Images that every block of an experiment divides afresh.

    Attributes:
        name: For the table.
        sizes: Validation images of each class in every block; the pool has twice as many.
        recalls: Share that is recognised at the best's values.
        cost: What the reference's value of the first strength does to the latent score of each
            class.
    """

    name: str
    sizes: tuple[int, ...]
    recalls: tuple[float, ...]
    cost: tuple[float, ...]


POOLS = (
    Pool(
        name="120, 60, 30, 15, 8",
        sizes=(120, 60, 30, 15, 8),
        recalls=_TAIL,
        cost=(0.0, 0.0, 0.0, 0.4, 0.8),
    ),
    Pool(
        name="the same, nothing planted", sizes=(120, 60, 30, 15, 8), recalls=_TAIL, cost=(0.0,) * 5
    ),
    Pool(name="292, 8", sizes=(292, 8), recalls=(0.98, 0.6), cost=(0.0, 0.8)),
    Pool(name="292, 8, nothing planted", sizes=(292, 8), recalls=(0.98, 0.6), cost=(0.0, 0.0)),
    Pool(name="ten of 8, nothing planted", sizes=(8,) * 10, recalls=(0.9,) * 10, cost=(0.0,) * 10),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One experiment: whether the planted strength was turned, and another; which of the four
    trajectory strengths' intervals hold their truth; how many runs it took.
    """

    is_found: bool
    is_false: bool
    holds: tuple[bool, ...]
    num_runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Images:
    """The images of a pool: class, how easy each is, and what decides as what it is mistaken."""

    labels: Integers
    easy: Floats
    other: Floats


_REST = float(np.sqrt(1 - IMAGE**2 - SEED**2 - SEED_OF_CLASS**2))


def experiment(pool: Pool, metric: Metric, seed: int) -> Outcome:
    """Simulate one experiment that ``metric`` decides, from its first block to its dials."""
    rng = np.random.default_rng([seed, 3, *pool.sizes])
    labels = np.repeat(np.arange(len(pool.sizes)), 2 * np.array(pool.sizes))
    images = _Images(
        labels=labels, easy=rng.normal(size=len(labels)), other=rng.random(len(labels))
    )
    runs: list[Run] = []
    looks: list[Look] = []
    dials: tuple[Dial, ...] = ()
    rounds = 0  # A round is one block of eight runs here.
    while not looks or not may_stop(runs, FACTORS, SCHEDULE, dials, first=metric):
        until = max(SCHEDULE.first, rounds + 1)
        for block in range(rounds, until):
            runs += _block(pool, images, block, metric, rng)
        rounds = until
        looks.append(newest_look(runs, SCHEDULE, first=metric))
        dials = decide(
            looks,
            reference=REFERENCE,
            best=BEST,
            task=TASK,
            runs_per_round=rounds_of(FACTORS).runs,
            first=metric,
        )
    turned = {dial.strength for dial in dials if dial.turn in TURNED}
    truth = {SMOOTHING: _true_effect(pool, images, metric)}
    found = {dial.strength: dial.effect[metric.on("val")].ci95 for dial in dials}
    return Outcome(
        is_found=SMOOTHING in turned,
        is_false=bool(turned - ({SMOOTHING} if any(pool.cost) else set())),
        holds=tuple(
            found[name][0] <= truth.get(name, 0.0) <= found[name][1] for name in TRAJECTORY
        ),
        num_runs=len(runs),
    )


def _block(
    pool: Pool, images: _Images, block: int, metric: Metric, rng: np.random.Generator
) -> Iterator[Run]:
    held_out = np.concatenate(
        [
            rng.choice(np.flatnonzero(images.labels == k), size, replace=False)
            for k, size in enumerate(pool.sizes)
        ]
    )
    labels = images.labels[held_out]
    for place, levels in enumerate(cells(TRAJECTORY, block=block)):
        score = _means(pool, levels[SMOOTHING])[labels] + IMAGE * images.easy[held_out]
        score += rng.normal(0.0, SEED) + rng.normal(0.0, SEED_OF_CLASS, len(pool.sizes))[labels]
        metrics = {}
        # The average does nothing: its levels are two draws of what is left of the score.
        for level in ("best", "reference"):
            right = score + rng.normal(0.0, _REST, len(labels)) > 0.0
            said = predicted(right, labels, images.other[held_out])
            value = class_metrics(labels, said, len(pool.sizes))[metric.name].value
            metrics[level] = {metric.on("val"): value}
        yield Run(run_id=f"{block}-{place}", block=block, levels=levels, metrics=metrics)


def _means(pool: Pool, level: int) -> Floats:
    """Mean score of each class, at the reference's (-1) or the best's value of the strength."""
    centre: Floats = np.asarray(stats.norm.ppf(pool.recalls))
    return centre - np.array(pool.cost) if level < 0 else centre


def _true_effect(pool: Pool, images: _Images, metric: Metric) -> float:
    """Effect of the planted strength over all images of the pool and all seeds."""
    values = []
    for level in (-1, 1):
        score = _means(pool, level)[images.labels] + IMAGE * images.easy
        right = np.asarray(stats.norm.cdf(score / np.sqrt(1 - IMAGE**2)))
        recalls = np.bincount(images.labels, right) / np.bincount(images.labels)
        values.append(expected(pool.sizes, recalls)[metric.name])
    return values[1] - values[0]


def run_table(num: int) -> Iterator[str]:
    """Yield the lines of the Markdown table of single runs."""
    yield from header("images of each class", *(metric.words for metric in METRICS), numeric=2)
    for case in CASES:
        runs = [one_run(case, seed) for seed in range(num)]
        yield row(case.name, *(_share(run[metric.name] for run in runs) for metric in METRICS))


def confirmation_table(num: int) -> Iterator[str]:
    """Yield the lines of the Markdown table of confirmations."""
    columns = [f"{m.words} {what}" for m in METRICS for what in ("covers", "half-width", "found")]
    yield from header("images of each class", "seeds", *columns, numeric=7)
    for case in CASES:
        for num_seeds in (5, 3):
            drawn = [confirmation(case, num_seeds, seed) for seed in range(num)]
            found = []
            for metric in METRICS:
                seen = [of[metric.name] for of in drawn]
                found += [
                    _share(one.holds for one in seen),
                    f"{np.median([one.half for one in seen]):.1f}",
                    _share(one.is_better for one in seen),
                ]
            yield row(case.name, str(num_seeds), *found)


def experiment_table(num: int) -> Iterator[str]:
    """Yield the lines of the Markdown table of experiments."""
    columns = ["metric", "95 % intervals cover", "culprit found", "any false turn", "runs"]
    yield from header("validation images of each class", *columns, numeric=4)
    with multiprocessing.Pool() as workers:
        for pool in POOLS:
            for metric in METRICS:
                outcomes = workers.map(partial(experiment, pool, metric), range(num), chunksize=10)
                yield row(
                    pool.name,
                    metric.words,
                    _share(held for one in outcomes for held in one.holds),
                    _share(one.is_found for one in outcomes) if any(pool.cost) else "",
                    _share(one.is_false for one in outcomes),
                    f"{np.mean([one.num_runs for one in outcomes]):.1f}",
                )


def _share(values: Iterable[bool]) -> str:
    return share(float(np.mean(list(values))))


TABLES = {"run": run_table, "confirmation": confirmation_table, "experiment": experiment_table}


def main() -> None:
    """Simulate and print a table of docs/imbalance.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--draws", type=int, default=1000, help="of each row")
    given = parser.parse_args()
    for line in TABLES[given.table](given.draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
