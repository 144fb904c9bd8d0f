"""Simulated comparisons whose differences depend on each other: a change where others are advised.

    python -m benchmarks.efficiency.beside --draws 2000

Effects of single factors and of pairs are normal draws with the standard deviation ``size``, in
standard deviations between runs; in every seed each of them, pairs too, differs from its mean by
another draw with the standard deviation ``spread``. Advised is the best's value of every factor
whose estimated effect is above zero, so that the runs that estimate also choose; the number of runs
is fixed, which a comparison's is not. Columns: share of the 95 % intervals of
`search.verdict.interactions.effects_beside` that cover the true effect beside the advised values;
the same for those alone that a comparison would show, for their factor is one of a pair that
depends on each other beyond noise; and the share of the intervals of the *averaged* effect that
cover what the change is worth beside the advised values, which they do not claim to.
"""

import argparse
import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from search.commands.compare.asked.layout import Layout
from search.records.metrics import Metric, Unit, declared
from search.verdict.effects import Run, estimate_effects
from search.verdict.interactions import (
    effects_beside,
    estimate_interactions,
    is_strong,
)

NOISE = 0.01
SCRIPT = Metric(
    name="script",
    words="accuracy",
    unit=Unit(word="", least_span=0.02, least=-math.inf),
    larger_is_better=True,
    margin=0.005,
)
"""The metric of a script, as `search.commands.compare.answer.margin` declares one."""
METRIC = SCRIPT.on("val")


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Shares of intervals that cover; see the columns above.

    Attributes:
        covered: Of all.
        covered_where_shown: Of those that a comparison would show.
        covered_by_average: Of the averaged effects.
        shown: Share of the effects that a comparison would show.
    """

    covered: float
    covered_where_shown: float
    covered_by_average: float
    shown: float


def simulate(
    num_factors: int, rounds: int, *, size: float, spread: float, draws: int, seed: int = 1
) -> Result:
    """Simulate comparisons with so many factors and rounds."""
    with declared(SCRIPT):
        return _simulate(num_factors, rounds, size=size, spread=spread, draws=draws, seed=seed)


def _simulate(
    num_factors: int, rounds: int, *, size: float, spread: float, draws: int, seed: int
) -> Result:
    names = tuple(f"f{i}" for i in range(num_factors))
    layout = Layout(names=names)
    rng = np.random.default_rng(seed)
    covered, shown, by_average = [], [], []
    for _ in range(draws):
        singles = dict(zip(names, rng.normal(0.0, size * NOISE, num_factors), strict=True))
        joint = {pair: rng.normal(0.0, size * NOISE) for pair in combinations(names, 2)}
        runs = _runs(layout, rounds, singles, joint, spread, rng)
        averaged = {
            name: of[METRIC] for name, of in estimate_effects(runs, names, first=SCRIPT).items()
        }
        advised = {name: 1 if effect.mean > 0.0 else -1 for name, effect in averaged.items()}
        depending = _depending(runs, names)
        for name, effect in effects_beside(runs, names, advised, metric=SCRIPT).items():
            # A pair's number is half of what one's effect changes with the other's value.
            others = [
                of * advised[b if a == name else a]
                for (a, b), of in joint.items()
                if name in (a, b)
            ]
            truth = singles[name] + sum(others)
            covered.append(effect.ci95[0] <= truth <= effect.ci95[1])
            shown.append(name in depending)
            low, high = averaged[name].ci95
            by_average.append(low <= truth <= high)
    which = np.array(shown)
    return Result(
        covered=float(np.mean(covered)),
        covered_where_shown=float(np.mean(np.array(covered)[which])) if which.any() else np.nan,
        covered_by_average=float(np.mean(by_average)),
        shown=float(which.mean()),
    )


def _runs(
    layout: Layout,
    rounds: int,
    singles: dict[str, float],
    joint: dict[tuple[str, str], float],
    spread: float,
    rng: np.random.Generator,
) -> list[Run]:
    runs = []
    for block in range(rounds * layout.blocks_per_round):
        of_seed = rng.normal(0.0, 2.0 * NOISE)
        own = {name: of + rng.normal(0.0, spread * NOISE) for name, of in singles.items()}
        pairs = {pair: of + rng.normal(0.0, spread * NOISE) for pair, of in joint.items()}
        for number, levels in enumerate(layout.block(block)):
            gain = sum(of * levels[name] / 2.0 for name, of in own.items())
            gain += sum(of * levels[a] * levels[b] / 2.0 for (a, b), of in pairs.items())
            value = 0.7 + of_seed + gain + rng.normal(0.0, NOISE)
            found = {"none": {METRIC: value}}
            runs.append(Run(run_id=f"{block}-{number}", block=block, levels=levels, metrics=found))
    return runs


def _depending(runs: list[Run], names: tuple[str, ...]) -> set[str]:
    """Factors of which a comparison says that they depend on another one."""
    found = estimate_interactions(runs, names, ema=False, metric=SCRIPT)
    return {
        name for pair, of in found.items() if is_strong(of, len(found), SCRIPT) for name in pair
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    given = parser.parse_args()
    print(
        f"{'factors':>7} {'runs':>4} {'size':>5} {'spread':>6} {'covered':>8} {'shown':>6} ", end=""
    )
    print(f"{'of shown':>9} {'average':>8}")
    for num_factors, rounds in ((2, 2), (3, 2), (3, 4), (4, 4), (5, 2)):
        runs = len(Layout(names=tuple(f"f{i}" for i in range(num_factors))).rounds(rounds))
        for size, spread in ((1.0, 0.33), (1.0, 1.0), (3.0, 0.33), (3.0, 1.0)):
            found = simulate(num_factors, rounds, size=size, spread=spread, draws=given.draws)
            print(
                f"{num_factors:>7} {runs:>4} {size:>5} {spread:>6} {found.covered:>8.1%} "
                f"{found.shown:>6.1%} {found.covered_where_shown:>9.1%} "
                f"{found.covered_by_average:>8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
