"""Simulated comparisons of seven differences whose effects vary from seed to seed.

    python -m benchmarks.efficiency.dealt_seeds --draws 400

Every effect is zero on average and differs between seeds by a normal draw; ``spread`` is its
standard deviation as a multiple of that between runs of a seed. Columns: share of the 95 %
intervals that cover zero, their mean width in standard deviations between runs, and the share of
comparisons in which the interval of any factor at 5 % over all seven leaves zero out. *One* gives
the 16 runs of a fraction one seed, *two* deals them to two, as
`search.commands.compare.asked.layout` does: 32 runs either way.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from search.commands.compare.asked.layout import Layout
from search.verdict.effects import Run, estimate_effects

NAMES = tuple(f"f{i}" for i in range(7))
NOISE = 0.01
METRIC = "val/top1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Result of many simulated comparisons; see the columns above.

    Attributes:
        covered: Share of intervals that cover zero.
        width: Mean width of an interval, in standard deviations between runs.
        false: Share of comparisons with a false decision.
    """

    covered: float
    width: float
    false: float


def simulate(*, two_seeds: bool, spread: float, draws: int) -> Result:
    """Simulate comparisons in which nothing helps on average."""
    layout = Layout(names=NAMES, two_seeds=two_seeds)
    blocks = range(2 * layout.blocks_per_round)
    rng = np.random.default_rng(1)
    covered, widths, wrong = [], [], 0
    for _ in range(draws):
        runs = []
        for block in blocks:
            of_seed = rng.normal(0.0, 2.0 * NOISE)
            effects = rng.normal(0.0, spread * NOISE, len(NAMES))
            for number, levels in enumerate(layout.block(block)):
                gain = sum(
                    effect * levels[name] / 2.0 for name, effect in zip(NAMES, effects, strict=True)
                )
                value = 0.7 + of_seed + gain + rng.normal(0.0, NOISE)
                metrics = {METRIC: value, "val/nll": 1.0, "val/nll_refined": 1.0}
                runs.append(
                    Run(
                        run_id=f"{block}-{number}",
                        block=block,
                        levels=levels,
                        metrics={"none": metrics},
                    )
                )
        found = [of[METRIC] for of in estimate_effects(runs, NAMES).values()]
        covered += [effect.ci95[0] <= 0.0 <= effect.ci95[1] for effect in found]
        widths += [(effect.ci95[1] - effect.ci95[0]) / NOISE for effect in found]
        ends = [effect.interval(0.05 / len(NAMES)) for effect in found]
        wrong += any(low > 0.0 or high < 0.0 for low, high in ends)
    return Result(
        covered=float(np.mean(covered)), width=float(np.mean(widths)), false=wrong / draws
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    given = parser.parse_args()
    print(f"{'spread':>6} {'seeds':>5} {'covered':>8} {'width':>6} {'false':>6}")
    for spread in (0.0, 0.33, 1.0, 1.5):
        for two_seeds, words in ((False, "one"), (True, "two")):
            found = simulate(two_seeds=two_seeds, spread=spread, draws=given.draws)
            print(
                f"{spread:>6} {words:>5} {found.covered:>8.1%} {found.width:>6.2f} "
                f"{found.false:>6.1%}"
            )


if __name__ == "__main__":
    main()
