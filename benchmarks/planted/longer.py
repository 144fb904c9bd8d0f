"""Fit states with known truth: is a converged run called so, and an unfinished one found?

    python -m benchmarks.planted.longer --experiments 2000

The confirmation is simulated, run by run: reference and advised recipe on five fresh seeds, best,
size-scaled default and everything off on three, and one run of everything off with twice the
epochs. All recipes are equally good, so that only length is in question. Numbers are drawn, the
rest is the product's code (`search.verdict.fit.state`). Noise is that of top-1 on 300 images, in
points, on clean training images as on validation images, as in `benchmarks.planted.simulation`.
"""

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.planted.simulation import LOSS_NOISE
from search.verdict.fit.evidence import LONGER, FitEvidence
from search.verdict.fit.state import fit_state, is_undertrained

SEEDS = {"reference": 5, "advised": 5, "best": 3, "scaled": 3, "off": 3, LONGER: 1}
NATS_PER_POINT = 0.03
"""What a point of accuracy is worth in refined log-loss, whose noise is drawn for itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What is true of a simulated confirmation; accuracy in points of top-1.

    Attributes:
        name: For the table.
        clean: Accuracy on clean training images of all recipes.
        val: The same on validation images.
        clean_gain: What twice the epochs add in training.
        val_gain: The same in validation.
        run: Deviation from run to run on the same split and seed.
        split: Deviation that all runs of a seed share.
    """

    name: str
    clean: float = 85.0
    val: float = 82.0
    clean_gain: float = 0.0
    val_gain: float = 0.0
    run: float = 1.8
    split: float = 1.5


CONDITIONS = (
    Condition(name="converged at 85/82"),
    Condition(name="converged at 85/82", run=2.5),
    Condition(name="converged at 60/55"),
    Condition(name="nearly converged", clean_gain=1.0, val_gain=0.5),
    Condition(name="learns wrong labels by heart", clean_gain=6.0, val_gain=-1.0),
    Condition(name="learns wrong labels by heart", clean_gain=10.0),
    *(
        Condition(name="unfinished", clean=60.0, val=55.0, clean_gain=1.2 * gain, val_gain=gain)
        for gain in (3.0, 5.0, 8.0, 12.0)
    ),
    Condition(name="unfinished", clean=60.0, val=55.0, clean_gain=9.6, val_gain=8.0, run=2.5),
)


def evidence(condition: Condition, rng: np.random.Generator) -> dict[str, FitEvidence]:
    """One confirmation."""
    splits = rng.normal(0.0, condition.split, (2, max(SEEDS.values())))
    found = {}
    for role, num_seeds in SEEDS.items():
        is_longer = role == LONGER
        metrics = {}
        for seed in range(num_seeds):
            clean, val = rng.normal(0.0, condition.run, 2) + splits[:, seed]
            noisy = val
            clean += condition.clean + is_longer * condition.clean_gain
            val += condition.val + is_longer * condition.val_gain
            loss = rng.normal(0.0, LOSS_NOISE) + NATS_PER_POINT * (100.0 - (val - noisy))
            metrics[seed] = {
                "clean_train/top1": clean / 100,
                "val/top1": val / 100,
                "val/nll_refined": loss,
            }
        found[role] = FitEvidence(metrics=metrics)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Shares of many confirmations of one condition.

    Attributes:
        states: Of each state of the reference.
        withheld: In which all turns are withheld.
        ruled_out: In which it is said not to be for want of time.
    """

    states: dict[str, float]
    withheld: float
    ruled_out: float


def shares(condition: Condition, *, experiments: int) -> Shares:
    """Simulate confirmations of one condition."""
    rng = np.random.default_rng(0)
    states: Counter[str] = Counter()
    withheld = ruled_out = 0
    for _ in range(experiments):
        drawn = evidence(condition, rng)
        fit = fit_state(drawn)
        states[fit.reference] += 1
        withheld += is_undertrained(drawn)
        longer = fit.longer
        ruled_out += longer is not None and not (longer.helps or longer.may_help)
    return Shares(
        states={state: states[state] / experiments for state in states},
        withheld=withheld / experiments,
        ruled_out=ruled_out / experiments,
    )


def table(experiments: int) -> str:
    """A row per condition, as Markdown."""
    lines = [
        "| condition | noise | twice the epochs: training, validation | fit-limited | other | "
        "undertrained, turns withheld | said not to be for want of time |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for c in CONDITIONS:
        found = shares(c, experiments=experiments)
        limited = found.states.get("fit-limited", 0.0)
        other = 1.0 - limited - found.withheld
        at = f"{c.name} ({c.clean:.0f}/{c.val:.0f})" if "at" not in c.name else c.name
        lines.append(
            f"| {at} | {c.run:g} | {c.clean_gain:+.1f}, {c.val_gain:+.1f} | {limited:.1%} | "
            f"{abs(other):.1%} | {found.withheld:.1%} | {found.ruled_out:.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=2000)
    print(table(parser.parse_args().experiments))


if __name__ == "__main__":
    main()
