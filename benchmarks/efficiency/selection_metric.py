"""Which metric of a small validation set picks the recipes that are best on test?

    python -m benchmarks.efficiency.selection_metric > tables.md

Reads the recorded table (`benchmarks.efficiency.record`): every recipe at full length, measured on
many small validation sets of images it was not trained on, and on test images that are in none of
them. A search compares recipes that share seed, split and validation images; so does this. What is
asked of each metric of `search.records.metrics`:

* rank correlation (Spearman) with the test metric, over all recipes and over the better half of
  them, between which a search has to choose;
* regret: how much worse on test the best of `NUM_RECIPES` drawn recipes by the metric is than the
  best of them by the test metric itself.

Intervals are 95 % percentiles of resamples of training runs and of validation sets: the sets are
drawn from one pool, so those of 300 images share about half of theirs, and recipes of one run share
their training.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.efficiency.surrogate import Floats
from benchmarks.efficiency.table import (
    METRICS,
    NUM_FOLDS,
    PROBLEMS,
    VAL_SIZES,
    Problem,
    Table,
    load_table,
)
from search.records.metrics import ALWAYS, score

NUM_RECIPES = 24
"""Recipes that are compared: the default of ``--num-samples``."""
NUM_DRAWS = 200
SEARCHED = tuple(metric.on("val") for metric in ALWAYS)
NUM_RESAMPLES = 400
JUDGED_BY = {"test/top1": "test top-1, points", "test/nll_refined": "test refined log-loss, nats"}

Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """One problem and size of the validation set.

    Attributes:
        scores: Score of each recipe on each validation set by search metric, ``[N, NUM_FOLDS]``.
        test: Goodness on test, larger is better, by metric; ``[N]``.
        runs: Rows of the recipes of each training run.
    """

    scores: Mapping[str, Floats]
    test: Mapping[str, Floats]
    runs: tuple[Index, ...]


def measured(table: Table, num_val: int) -> Measured:
    """The scores of one seed's recipes on validation sets of one size, and on test."""
    folds = table.folds[num_val]

    def scored(metric: str, values: Floats) -> float:
        names = (f"val/{name}" for name in METRICS)
        found = score(
            dict(zip(names, values.tolist(), strict=True)), metric=metric, num_val=num_val
        )
        assert found is not None
        return found

    return Measured(
        scores={
            metric: np.array([[scored(metric, values) for values in row] for row in folds])
            for metric in SEARCHED
        },
        test={
            "test/top1": 100.0 * table.test[:, METRICS.index("top1")],
            "test/nll_refined": -table.test[:, METRICS.index("nll_refined")],
        },
        runs=tuple(np.flatnonzero(table.point == point) for point in np.unique(table.point)),
    )


def correlation(scores: Floats, test: Floats) -> float:
    """Spearman's, of the recipes' ranks on each validation set with those on test, on average."""
    ranks, true = rankdata(scores, axis=0), rankdata(test)
    ranks, true = ranks - ranks.mean(axis=0), true - true.mean()
    spread = np.sqrt((ranks**2).sum(axis=0) * (true**2).sum())
    return float((ranks.T @ true / spread).mean())


def regret(scores: Floats, test: Floats, draws: Index) -> float:
    """Compute the mean loss on test of picking by scores, over validation sets and draws.

    Args:
        scores: ``[N, F]``.
        test: ``[N]``, larger is better.
        draws: Recipes of each draw, ``[D, R]``.
    """
    picked = np.take_along_axis(draws, scores[draws].argmax(axis=1), axis=1)  # [D, F]
    return float((test[draws].max(axis=1, keepdims=True) - test[picked]).mean())


def resampled(data: Measured, rng: np.random.Generator) -> Measured:
    """As many training runs, each with all its recipes, and as many validation sets."""
    chosen = rng.integers(len(data.runs), size=len(data.runs))
    rows = np.concatenate([data.runs[i] for i in chosen])
    folds = rng.integers(NUM_FOLDS, size=NUM_FOLDS)
    return Measured(
        scores={metric: values[rows][:, folds] for metric, values in data.scores.items()},
        test={metric: values[rows] for metric, values in data.test.items()},
        runs=(),
    )


def statistics(data: Measured, rng: np.random.Generator) -> dict[tuple[str, str, str], float]:
    """By kind (``all``, ``better half``, ``regret``), search metric and test metric."""
    found = {}
    num = len(next(iter(data.test.values())))
    draws = np.stack([rng.permutation(num)[:NUM_RECIPES] for _ in range(NUM_DRAWS)])
    for judge, test in data.test.items():
        better = test >= np.median(test)
        for metric, scores in data.scores.items():
            found["all", metric, judge] = correlation(scores, test)
            found["better half", metric, judge] = correlation(scores[better], test[better])
            found["regret", metric, judge] = regret(scores, test, draws)
    return found


def winner(problems: Mapping[str, Problem] = PROBLEMS) -> str:
    """The search metric with the least regret on test, on average over problems and sizes.

    Regrets of the two test metrics are in different units, so each is divided by that of the worst
    search metric before they are added.
    """
    totals = dict.fromkeys(SEARCHED, 0.0)
    for problem in problems.values():
        table = load_table(problem)
        table = table.only(table.seed == 0)
        for size in VAL_SIZES:
            found = statistics(measured(table, size), np.random.default_rng(size))
            for judge in JUDGED_BY:
                worst = max(found["regret", metric, judge] for metric in SEARCHED)
                for metric in SEARCHED:
                    totals[metric] += found["regret", metric, judge] / worst
    return min(totals, key=totals.__getitem__)


def tables(problem: Problem) -> list[str]:
    """One table per test metric: a row per search metric and size of the validation set."""
    table = load_table(problem)
    table = table.only(table.seed == 0)
    num_runs = len(np.unique(table.point))
    lines = [f"### {problem.name}: {len(table.test)} recipes of {num_runs} training runs", ""]
    for judge, words in JUDGED_BY.items():
        lines += [
            f"Judged by {words}:",
            "",
            "| images | metric | rank correlation | of the better half | regret of the pick |",
            "| --: | :-- | --: | --: | --: |",
        ]
        for size in VAL_SIZES:
            data = measured(table, size)
            rng = np.random.default_rng(size)
            point = statistics(data, rng)
            resamples = [statistics(resampled(data, rng), rng) for _ in range(NUM_RESAMPLES)]
            for metric in SEARCHED:
                cells = []
                for kind in ("all", "better half", "regret"):
                    key = (kind, metric, judge)
                    low, high = np.percentile([found[key] for found in resamples], (2.5, 97.5))
                    cells.append(f"{point[key]:.3g} ({low:.3g} to {high:.3g})")
                lines.append(f"| {size} | `{metric}` | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def main() -> None:
    """Print the tables and who wins."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for problem in PROBLEMS.values():
        print("\n".join(tables(problem)))
    print(f"Least regret over problems, sizes and both test metrics: `{winner()}`.")


if __name__ == "__main__":
    main()
