"""Small culprits in simulated experiments: this project beside its alternatives, run for run.

    python -m benchmarks.planted.rivals --experiments 60

Every experiment of `benchmarks.planted.simulation` is gone through by the product, which stops
after 16, 24 or 32 runs; each alternative then has as many runs on the same problem, with noise of
the same size. Only top-1 is looked at by alternatives. What each of them ships is the reference
with the strengths that it turns; the gain of that is known.

- *One at a time*: the reference and one strength changed, on the same split and seed; five runs to
  a repeat, a new split for each, and the effect of the average for free. A strength is turned if
  its paired 95 % t interval lies above zero, or, without intervals, if its mean gain is half a
  point.
- *Plain factorial*, as Ax and textbooks have it: five factors in 16 runs (half of all cells), 24
  (three quarters) or 32 (all), one split, one replicate, no looks; main effects by ordinary least
  squares, each with its 95 % interval.
- *Optuna's importances*: as many random trials on one split; a strength is turned if its fANOVA
  importance is above an equal share and its correlation with top-1 is positive.
- *Optuna's best trial*: the best of these, as it is.

None of them corrects for the number of strengths, as nobody does.
"""

import argparse
import itertools
import multiprocessing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.planted.markdown import header, row, share
from benchmarks.planted.simulation import SMOOTHING, TRAJECTORY, Condition, experiment
from search.records.metrics import TOP1
from search.stages.importances import importances
from search.verdict.design import EMA_FACTOR

Floats = npt.NDArray[np.float64]

NAMES = (*TRAJECTORY, EMA_FACTOR)
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=len(NAMES))))
HALF = CORNERS[CORNERS.prod(axis=1) > 0.0]
"""Half of all cells, of which no two differ in one strength alone."""
SINGLES = np.vstack([-np.ones(len(NAMES)), 2.0 * np.eye(len(NAMES)) - 1.0])
"""The reference, then the reference with one strength changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The true values of one split: its level, and the effects of strengths and average."""

    level: float
    slopes: Floats
    average: float


def draw_split(condition: Condition, rng: np.random.Generator) -> Split:
    """A split as `benchmarks.planted.simulation` draws it for a block; points of top-1."""
    gains = np.array([condition.truth(name) for name in TRAJECTORY])
    spread = condition.split * condition.run
    return Split(
        level=float(rng.normal(0.0, condition.block)),
        slopes=gains + rng.normal(0.0, spread, len(TRAJECTORY)),
        average=condition.ema_gain
        + float(rng.normal(0.0, condition.ema_block * condition.ema_run)),
    )


def measured(
    condition: Condition, split: Split, levels: Floats, rng: np.random.Generator
) -> Floats:
    """Top-1 of runs on one split; levels of all strengths, the average last, runs in rows."""
    own = levels[:, :-1]
    found = split.level + own @ split.slopes / 2 + rng.normal(0.0, condition.run, len(levels))
    found += condition.interaction / 4 * own[:, 1] * own[:, 2]
    gaps = split.average + rng.normal(0.0, condition.ema_run, len(levels))
    found -= np.where(levels[:, -1] < 0.0, gaps, 0.0)
    return np.asarray(found)


def one_at_a_time(
    condition: Condition, num_runs: int, rng: np.random.Generator, *, with_interval: bool
) -> tuple[frozenset[str], int]:
    """Simulate a one-at-a-time ablation; return the turned strengths and the number of runs."""
    # The average needs no run of its own: the reference's run has both.
    size = len(SINGLES) - 1
    repeats = max(2, num_runs // size)
    gains = []
    for _ in range(repeats):
        split = draw_split(condition, rng)
        values = measured(condition, split, SINGLES[:-1], rng)
        average = split.average + rng.normal(0.0, condition.ema_run)
        gains.append([*(values[1:] - values[0]), average])
    means = np.mean(gains, axis=0)
    bar: float | Floats = 100 * TOP1.margin
    if with_interval:
        quantile = stats.t.ppf(0.975, repeats - 1)
        bar = quantile * np.std(gains, axis=0, ddof=1) / np.sqrt(repeats)
    return _named(means > bar), repeats * size


def plain_factorial(
    condition: Condition, num_runs: int, rng: np.random.Generator
) -> tuple[frozenset[str], int]:
    """Simulate one replicate of a factorial on one split, judged by ordinary least squares."""
    others = CORNERS[CORNERS.prod(axis=1) < 0.0]
    # A quarter of the cells is added where 24 runs are made, the same for all: three in four cells
    # keep main effects apart.
    quarter = others[others[:, 0] * others[:, 1] > 0.0]
    levels = {16: HALF, 24: np.vstack([HALF, quarter]), 32: CORNERS}[num_runs]
    values = measured(condition, draw_split(condition, rng), levels, rng)
    model = np.hstack([np.ones((len(levels), 1)), levels])
    inverse = np.linalg.inv(model.T @ model)
    coefficients = inverse @ model.T @ values
    dof = len(levels) - model.shape[1]
    variance = float(((values - model @ coefficients) ** 2).sum()) / dof
    errors = np.sqrt(variance * np.diag(inverse))
    is_above = coefficients > stats.t.ppf(0.975, dof) * errors
    return _named(is_above[1:]), len(levels)


def random_search(
    condition: Condition, num_runs: int, rng: np.random.Generator, *, by_importance: bool
) -> tuple[frozenset[str], int]:
    """Simulate random trials on one split, judged by importances and signs or the best trial."""
    levels = rng.choice([-1.0, 1.0], (num_runs, len(NAMES)))
    values = measured(condition, draw_split(condition, rng), levels, rng)
    if not by_importance:
        return _named(levels[int(values.argmax())] > 0.0), num_runs
    places = [dict(zip(NAMES, (1.0 + at) / 2.0, strict=True)) for at in levels]
    shares = importances(places, (values / 100).tolist())
    slopes = (levels - levels.mean(axis=0)).T @ values
    above = np.array([shares[name] > 1 / len(NAMES) for name in NAMES])
    return _named(above & (slopes > 0.0)), num_runs


def _named(chosen: npt.NDArray[np.bool_]) -> frozenset[str]:
    return frozenset(name for name, is_chosen in zip(NAMES, chosen, strict=True) if is_chosen)


Rival = Callable[[Condition, int, np.random.Generator], tuple[frozenset[str], int]]
RIVALS: Mapping[str, Rival] = {
    "one at a time, intervals": partial(one_at_a_time, with_interval=True),
    "one at a time, none": partial(one_at_a_time, with_interval=False),
    "plain factorial": plain_factorial,
    "Optuna's importances": partial(random_search, by_importance=True),
    "Optuna's best trial": partial(random_search, by_importance=False),
}
OURS = "this project"
TIMES = 10
"""How often an alternative has the runs of one experiment of the product: it takes no time."""
SLOW, NUM_SLOW = "Optuna's importances", 25
"""But this does: only so many experiments of each condition have it, once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The strengths that one side turned, those it ships at the other value, and its runs."""

    turned: frozenset[str]
    shipped: frozenset[str]
    num_runs: int


def contest(condition: Condition, seed: int) -> dict[str, list[Said]]:
    """One experiment by the product, and some with as many runs by each of the others."""
    ours = experiment(condition, seed)
    found = {OURS: [Said(turned=ours.turned, shipped=ours.advised, num_runs=ours.num_runs)]}
    for at, (name, rival) in enumerate(RIVALS.items()):
        times = int(seed < NUM_SLOW) if name == SLOW else TIMES
        rngs = [np.random.default_rng([seed, 8, at, again]) for again in range(times)]
        tried = [rival(condition, ours.num_runs, rng) for rng in rngs]
        found[name] = [Said(turned=turned, shipped=turned, num_runs=runs) for turned, runs in tried]
    return found


def gain(condition: Condition, shipped: Collection[str]) -> float:
    """Compute the true gain of a recipe over the reference, in points, without interactions."""
    return sum(condition.truth(name) for name in shipped)


OTHERS = TRAJECTORY[1:]
CONDITIONS = (
    *(Condition(name=f"{d} points", gains={SMOOTHING: d}) for d in (3, 2, 1)),
    Condition(name="nothing, recorded splits", split=0.5, loss_split=1.0),
    Condition(
        name="1, 1 and 2 points, one hurts by 1",
        gains={SMOOTHING: 2, OTHERS[0]: 1, OTHERS[1]: 1, OTHERS[2]: -1},
    ),
    Condition(name="5 points", gains={SMOOTHING: 5}),
    Condition(name="3 points, recorded splits", gains={SMOOTHING: 3}, split=0.5, loss_split=1.0),
    Condition(
        name="3 points, two others hurt by 1",
        gains={SMOOTHING: 3, OTHERS[0]: -1, OTHERS[1]: -1},
    ),
    Condition(name="4 points", gains={SMOOTHING: 4}),
    Condition(name="nothing"),
)

Measure = Callable[[Condition, Sequence[Said]], str]


def _found(condition: Condition, said: Sequence[Said]) -> str:
    if condition.truth(SMOOTHING) <= 0.0:
        return ""
    return share(float(np.mean([SMOOTHING in one.turned for one in said])))


def _false(condition: Condition, said: Sequence[Said]) -> str:
    wrong = [any(condition.truth(name) <= 0.0 for name in one.turned) for one in said]
    return share(float(np.mean(wrong)))


def _gained(condition: Condition, said: Sequence[Said]) -> str:
    return f"{np.mean([gain(condition, one.shipped) for one in said]):+.2f}"


def _runs(condition: Condition, said: Sequence[Said]) -> str:
    return f"{np.mean([one.num_runs for one in said]):.1f}"


MEASURES: Mapping[str, Measure] = {
    "culprit found": _found,
    "any false turn": _false,
    "gained": _gained,
    "runs": _runs,
}


def table(num: int, conditions: Sequence[Condition]) -> None:
    """Print the Markdown table of docs/planted.md, a row per condition and measure."""
    sides = (OURS, *RIVALS)
    print(*header("in truth", "share or points", *sides, numeric=len(sides)), sep="\n", flush=True)
    with multiprocessing.Pool() as workers:
        for condition in conditions:
            drawn = workers.map(partial(contest, condition), range(num), chunksize=5)
            name = condition.name
            for words, measure in MEASURES.items():
                by_side = ([one for of in drawn for one in of.get(side, ())] for side in sides)
                shown = [measure(condition, of_side) for of_side in by_side]
                if any(shown):
                    print(row(name, words, *shown), flush=True)
                    name = ""


def main() -> None:
    """Simulate all conditions and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=60, help="of each condition")
    parser.add_argument("--only", default="", help="conditions whose name holds this")
    given = parser.parse_args()
    table(given.experiments, [c for c in CONDITIONS if given.only in c.name])


if __name__ == "__main__":
    main()
