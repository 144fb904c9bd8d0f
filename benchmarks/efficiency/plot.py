"""Regret against budget, as a picture and as tables: what ``docs/search_efficiency.md`` shows.

python -m benchmarks.efficiency.plot --scratch /tmp/efficiency > tables.md
"""

import argparse
import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from benchmarks.efficiency.clock import METRIC, NUM_WORKERS
from benchmarks.efficiency.methods import PUBLISHED_RANGES
from benchmarks.efficiency.searches import OURS, TRUTH, surrogate_of
from benchmarks.efficiency.surrogate import Floats, Surrogate
from benchmarks.efficiency.table import PROBLEMS, Problem
from search.records.provenance import ROOT
from spaces.space import Space
from spaces.strengths.registry import STRENGTHS

PICTURE = ROOT / "docs" / "search_efficiency.png"
FULL_BUDGET = 24
"""Full-length runs that 24 trials, the default of a search, would cost without early stopping."""
JUDGED_BY = {METRIC: "refined log-loss, nats", "test/top1": "test top-1, points"}
NUM_RESAMPLES = 1000
_DENSE = 4096
Draw = NDArray[np.int64] | None
"""Seeds of a bootstrap resample; None for all, each once."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """Regret of one side on one problem.

    Attributes:
        budgets: In full-length runs, ``[seeds, B]``; ascending in each row.
        regrets: By metric, ``[seeds, B]``.
    """

    budgets: Floats
    regrets: dict[str, Floats]

    def at(self, metric: str, budgets: Floats, seeds: Draw = None) -> Floats:
        """Mean regret at budgets, interpolated between those that were asked at."""
        chosen = slice(None) if seeds is None else seeds
        spent = self.budgets[chosen].mean(axis=0)
        regret: Floats = np.interp(budgets, spent, self.regrets[metric][chosen].mean(axis=0))
        return regret

    def reaches(self, metric: str, regret: float, seeds: Draw = None) -> float:
        """Smallest budget from which on the mean regret is at most this; infinity for never."""
        chosen = slice(None) if seeds is None else seeds
        spent = self.budgets[chosen].mean(axis=0)
        grid = np.linspace(spent[0], spent[-1], 2000)
        missed = np.flatnonzero(self.at(metric, grid, seeds) > regret)
        if not len(missed):
            return float(grid[0])
        return float(grid[missed[-1] + 1]) if missed[-1] + 1 < len(grid) else np.inf


def read_curves(problem: Problem, scratch: Path) -> dict[str, Curve]:
    """By side; regret is against the best that anybody or a dense search found."""
    found = defaultdict(list)
    with (scratch / "replays.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["problem"] == problem.name:
                found[row["side"]].append(row)
    best = best_of(problem, surrogate_of(problem, scratch))
    for rows in found.values():
        for row in rows:
            best = {m: max(value, _goodness(m, float(row[m]))) for m, value in best.items()}
    curves = {}
    for side, rows in found.items():
        by_seed = defaultdict(list)
        for row in rows:
            by_seed[int(row["seed"])].append(row)
        most = max(len(rows) for rows in by_seed.values())
        whole = [rows for rows in by_seed.values() if len(rows) == most]
        ordered = [sorted(rows, key=lambda row: float(row["time"])) for rows in whole]
        spent = [[float(row["time"]) for row in rows] for rows in ordered]
        curves[side] = Curve(
            budgets=NUM_WORKERS * np.array(spent) / problem.recipe.epochs,
            regrets={
                m: np.array([[best[m] - _goodness(m, float(r[m])) for r in rs] for rs in ordered])
                for m in JUDGED_BY
            },
        )
    return curves


def best_of(problem: Problem, surrogate: Surrogate) -> dict[str, float]:
    """The best there is, by metric: over anchors and many points of both kinds of ranges."""
    rng = np.random.default_rng(0)
    space = Space.for_task(problem.task)
    positions = rng.random((_DENSE, len(STRENGTHS)))
    strengths = [
        list(space.decode(dict(zip(STRENGTHS, place, strict=True))).values())
        for place in positions.tolist()
    ]
    strengths += [list(anchor.as_dict().values()) for anchor in problem.anchors.values()]
    low, high = np.array(list(PUBLISHED_RANGES.values())).T
    dense = np.concatenate([np.array(strengths), low + (high - low) * positions])
    truth = dict(zip(TRUTH, surrogate.truth(dense).T, strict=True))
    return {m: max(_goodness(m, float(value)) for value in truth[m]) for m in JUDGED_BY}


def _goodness(metric: str, value: float) -> float:
    """Larger is better: points of top-1, or minus nats."""
    return 100 * value if metric.endswith("top1") else -value


def tables(curves: dict[str, Curve]) -> list[str]:
    """Regret by side and budget, and by when ours is where stock is at the full budget."""
    rng = np.random.default_rng(0)
    lines = []
    budgets = np.array([FULL_BUDGET / 4, FULL_BUDGET / 2, FULL_BUDGET])
    head = " | ".join(f"{b:g} runs" for b in budgets)
    for metric, words in JUDGED_BY.items():
        lines += [f"Regret in {words}:", "", f"| side | seeds | {head} |"]
        lines += ["| :-- | --: " + "| --: " * len(budgets) + "|"]
        for side, curve in curves.items():
            num = len(curve.budgets)
            draws = np.array(
                [
                    curve.at(metric, budgets, rng.integers(num, size=num))
                    for _ in range(NUM_RESAMPLES)
                ]
            )
            means, (low, high) = (
                curve.at(metric, budgets),
                np.percentile(draws, (2.5, 97.5), axis=0),
            )
            # Ours ends by running its best few again, so there is nothing to read off before.
            cells = [
                f"{m:.3g} ({a:.3g} to {b:.3g})" if curve.budgets[:, 0].mean() <= budget else ""
                for m, a, b, budget in zip(means, low, high, budgets, strict=True)
            ]
            lines.append(f"| {side} | {num} | " + " | ".join(cells) + " |")
        lines.append("")
        if OURS not in curves:
            continue
        for side in (side for side in curves if side != OURS):
            lines.append(_when(curves[OURS], side, curves[side], metric, rng))
        lines.append("")
    return lines


def _when(ours: Curve, side: str, theirs: Curve, metric: str, rng: np.random.Generator) -> str:
    needed = []
    for _ in range(NUM_RESAMPLES):
        num, other = len(ours.budgets), len(theirs.budgets)
        target = theirs.at(metric, np.array([FULL_BUDGET]), rng.integers(other, size=other))[0]
        needed.append(ours.reaches(metric, target, rng.integers(num, size=num)))
    point = ours.reaches(metric, theirs.at(metric, np.array([FULL_BUDGET]))[0])
    low, high = np.percentile(needed, (2.5, 97.5), method="nearest")
    half = np.mean(np.array(needed) <= FULL_BUDGET / 2)
    return (
        f"- what {side} reaches with {FULL_BUDGET} runs, ours reaches with {point:.1f} "
        f"({low:.1f} to {high:.1f}); with at most half in {half:.0%} of the resamples"
    )


def draw(by_problem: dict[str, dict[str, Curve]]) -> None:
    """One panel per problem and metric."""
    mpl.use("Agg")
    rng = np.random.default_rng(0)
    figure, axes = plt.subplots(
        len(JUDGED_BY), len(by_problem), figsize=(6 * len(by_problem), 7), squeeze=False
    )
    for column, (name, curves) in enumerate(by_problem.items()):
        for row, (metric, words) in enumerate(JUDGED_BY.items()):
            panel = axes[row, column]
            for side, curve in curves.items():
                num = len(curve.budgets)
                spent, regret = curve.budgets.mean(0), curve.regrets[metric]
                draws = [regret[rng.integers(num, size=num)].mean(0) for _ in range(NUM_RESAMPLES)]
                low, high = np.percentile(draws, (2.5, 97.5), axis=0)
                style = {"linewidth": 2.5, "color": "black"} if side == OURS else {"linewidth": 1.2}
                (line,) = panel.plot(spent, regret.mean(0), marker=".", label=side, **style)
                panel.fill_between(spent, low, high, alpha=0.15, color=line.get_color())
            panel.set(xlim=(3, FULL_BUDGET + 1), yscale="log", title=f"{name}: {words}")
            panel.grid(alpha=0.3)
        axes[-1, column].set_xlabel("budget, full-length runs")
    for row in range(len(JUDGED_BY)):
        axes[row, 0].set_ylabel("regret of the pick")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Print the tables and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    asked = parser.parse_args()
    by_problem = {name: read_curves(p, asked.scratch) for name, p in PROBLEMS.items()}
    for name, curves in by_problem.items():
        print(f"### {name}\n")
        print("\n".join(tables(curves)))
    draw(by_problem)


if __name__ == "__main__":
    main()
