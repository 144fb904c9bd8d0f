"""Alternatives to the designed experiment, on as many runs.

- One at a time: the reference and the reference with one strength changed, on the same splits and
  seeds; validation top-1 as the recipe ships. The average's own effect is read from the reference's
  runs, for free. Either with a paired 95 % t interval that must lie above zero, or without one: the
  mean gain must be above the practical margin.
- Optuna: a random search over the corners of the box between reference and best, drawn from the
  recorded cells, each with the reference's or the best's average. The means of the blocks are taken
  out, for a search keeps to one split. A strength is turned if its fANOVA importance is above an
  equal share and the sign of its correlation with validation top-1 says that the best's end is
  better.

None of them corrects for the number of strengths, as nobody does.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.planted.verdicts import Recorded
from search.records.metrics import TOP1
from search.stages.importances import importances
from search.verdict.design import EMA_FACTOR

METRIC = "val/top1"


def ablation_blocks(recorded: Recorded, num_runs: int, number: int) -> list[int]:
    """Blocks whose single runs make up at most ``num_runs``; another choice for each draw."""
    whole = sorted(recorded.singles)
    size = max(len(of) for of in recorded.singles.values()) if whole else 1
    count = min(len(whole), max(2, num_runs // size))
    order = np.random.default_rng([7, number]).permutation(whole)
    return sorted(order[:count].tolist())


def one_at_a_time(
    recorded: Recorded, blocks: Sequence[int], *, with_interval: bool
) -> tuple[str, ...]:
    """Strengths that the ablation would turn."""
    turned = []
    for name in recorded.names:
        gains = np.array([_gain(recorded, block, name) for block in blocks])
        gains = gains[np.isfinite(gains)]
        if len(gains) < 2:
            continue
        if with_interval:
            error = gains.std(ddof=1) / math.sqrt(len(gains))
            is_turned = gains.mean() > stats.t.ppf(0.975, len(gains) - 1) * error
        else:
            is_turned = gains.mean() > TOP1.margin
        if is_turned:
            turned.append(name)
    return tuple(turned)


def _gain(recorded: Recorded, block: int, name: str) -> float:
    of = recorded.singles[block]
    if name == EMA_FACTOR:
        changed, level = of[""], "best"
    else:
        changed, level = of[name], "reference"
    if changed.diverged or of[""].diverged:
        return math.nan
    return changed.metrics[level][METRIC] - of[""].metrics["reference"][METRIC]


def by_importance(recorded: Recorded, num_runs: int, number: int) -> tuple[str, ...]:
    """Strengths that importances and signs would turn after ``num_runs`` random trials."""
    names, rng = recorded.names, np.random.default_rng([8, number])
    cells = [run for runs in recorded.blocks.values() for run in runs if not run.diverged]
    chosen = [cells[i] for i in rng.permutation(len(cells))[:num_runs]]
    means = _block_means(recorded)
    places, values = [], []
    for run in chosen:
        level = str(rng.choice(["reference", "best"]))
        at = {**run.levels, EMA_FACTOR: 1 if level == "best" else -1}
        places.append([(1.0 + at[name]) / 2 for name in names])
        values.append(float(run.metrics[level][METRIC] - means[run.block]))
    at_best = np.array(places)
    shares = importances([dict(zip(names, at, strict=True)) for at in places], values)
    slopes = {name: np.cov(at_best[:, column], values)[0, 1] for column, name in enumerate(names)}
    return tuple(name for name in names if shares[name] > 1 / len(names) and slopes[name] > 0.0)


def _block_means(recorded: Recorded) -> dict[int, float]:
    return {
        block: float(
            np.mean(
                [
                    run.metrics[level][METRIC]
                    for run in runs
                    if not run.diverged
                    for level in ("reference", "best")
                ]
            )
        )
        for block, runs in recorded.blocks.items()
    }
