"""Coverage of an experiment's intervals, and what it finds, where classes differ in size.

Runs in blocks, each of which divides a pool of images afresh (`search.verdict.effects`,
`search.verdict.dials`); one strength costs the rarer classes, three do nothing. The truth is over
all images of the pool.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from benchmarks.imbalance.drawn import (
    METRICS,
    SEED,
    SEED_OF_CLASS,
    TAIL,
    Floats,
    Integers,
    expected,
    predicted,
    share_of,
)
from benchmarks.planted.confirmation import IMAGE
from benchmarks.planted.markdown import header, row
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
from search.records.metrics import Metric
from search.verdict.design import cells
from search.verdict.dials import decide
from search.verdict.effects import Run
from search.verdict.judgement import Look
from search.verdict.looking import may_stop, rounds_of
from search.verdict.schema import Dial
from trainable.evaluation import class_metrics


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
        recalls=TAIL,
        cost=(0.0, 0.0, 0.0, 0.4, 0.8),
    ),
    Pool(
        name="the same, nothing planted", sizes=(120, 60, 30, 15, 8), recalls=TAIL, cost=(0.0,) * 5
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
                    share_of(held for one in outcomes for held in one.holds),
                    share_of(one.is_found for one in outcomes) if any(pool.cost) else "",
                    share_of(one.is_false for one in outcomes),
                    f"{np.mean([one.num_runs for one in outcomes]):.1f}",
                )
