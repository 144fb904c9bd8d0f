"""What changes when one strength goes from the reference's value to the best's, and how sure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from search.records.metrics import TOP1, Metric
from search.verdict.blocked_model import (
    Contrast,
    Floats,
    block_columns,
    contrast,
    factor_columns,
    t_quantile,
)
from search.verdict.design import EMA_FACTOR
from search.verdict.schema import effect_metrics

DROWNED = 10.0
"""If the best's average trails another by more than so many margins (`Metric.margin`, 5 points of
top-1), effects are measured on that other one.
"""

EMA_BLOCK_PRIOR = 1.0
"""Prior guess: the EMA difference varies between blocks as much as between runs of a block.

A reference whose average is at chance makes the difference as variable as the accuracy itself,
which moves with the split (1.5 points) about as much as from run to run (1.2 points).
"""

EMA_PRIOR_DOF = 4
"""Weight of that guess in degrees of freedom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One finished run of the experiment.

    Attributes:
        run_id: Name of the trial.
        block: Block it belongs to.
        levels: -1 (reference) or +1 (best) for each trajectory factor.
        metrics: By level of the average (``reference``, ``best``, ``none``), then by metric name.
        diverged: Whether training diverged; then its metrics are not used.
    """

    run_id: str
    block: int
    levels: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float]]
    diverged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Change of a metric from the reference level to the best level of one strength.

    Attributes:
        mean: In the unit of the metric; NaN if the runs at hand cannot tell.
        ci95: Both ends of the 95 % t interval, infinite if unknown.
        std_error: Standard error, infinite if unknown.
        dof: Degrees of freedom of ``std_error``, 0 if unknown.
        num_runs: Runs the estimate rests on, after leaving out diverged ones.
    """

    mean: float
    ci95: tuple[float, float] = field(default=(-math.inf, math.inf))
    std_error: float = math.inf
    dof: int = 0
    num_runs: int = 0

    @property
    def is_estimable(self) -> bool:
        """Whether the runs at hand separate this strength from the others."""
        return not math.isnan(self.mean)

    def times(self, sign: float) -> "Effect":
        """The same with its sign kept (1.0) or turned round (-1.0)."""
        if sign > 0.0:
            return self
        low, high = self.ci95
        return replace(self, mean=-self.mean, ci95=(-high, -low))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Both ends of the two-sided interval that errs with probability ``alpha``."""
        if not math.isfinite(self.std_error):
            return (-math.inf, math.inf)
        half = t_quantile(alpha, self.dof) * self.std_error
        return (self.mean - half, self.mean + half)


NO_EFFECT = Effect(mean=math.nan)
"""What is known of an effect when no run is left."""


def estimate_effects(
    runs: Sequence[Run],
    names: tuple[str, ...],
    *,
    ema: bool,
    first: Metric = TOP1,
) -> dict[str, dict[str, Effect]]:
    """Estimate the effect of each strength on each metric from all runs at once.

    Trajectory effects are twice the coefficient of the factor, averaged over the levels of the
    others and measured on the average of `trajectory_level`. The EMA effect is the mean over cells
    and blocks of the difference best minus reference within a run. Error terms:
    `search.verdict.blocked_model`.

    A diverged run, or one without a finite value of the metric, is left out of that metric's fit;
    `Effect.num_runs` says how many were left. What the remaining runs cannot separate is returned
    as an effect with a mean of NaN, never guessed.

    Args:
        runs: Runs of the experiment, all blocks.
        names: Trajectory factors.
        ema: Whether the average is a factor; adds the entry ``ema_decay``.
        first: What decides the dials first; chooses the average, and is estimated too.
    """
    level = trajectory_level(runs, ema=ema, metric=first)
    result: dict[str, dict[str, Effect]] = {name: {} for name in names}
    if ema:
        result[EMA_FACTOR] = {}
    for metric in effect_metrics(first):
        kept, values = outcomes(runs, level, metric)
        levels, blocks = design_of(kept, names)
        for factor, name in enumerate(names):
            estimate = main_effect(levels, blocks, factor, values)
            result[name][metric] = effect_of(estimate, len(kept))
        if ema:
            kept, values = _ema_differences(runs, metric)
            estimate = mean_difference(*design_of(kept, names), values)
            result[EMA_FACTOR][metric] = effect_of(estimate, len(kept))
    return result


def trajectory_level(runs: Sequence[Run], *, ema: bool, metric: Metric = TOP1) -> str:
    """The average on which trajectory effects are measured.

    It is the best's, unless another one is more than `DROWNED` margins better in the mean of the
    metric on validation images: an average that lags behind shows nothing of what the trajectory
    does. The mean over all cells says nothing about the difference between cells, so choosing by it
    does not bias an effect.
    """
    present = [
        level
        for level in ("best", "reference", "none")
        if any(level in run.metrics for run in runs if not run.diverged)
    ]
    if not ema or not present:
        return present[0] if present else "best"
    means = {}
    for level in present:
        _, values = outcomes(runs, level, metric.on("val"))
        means[level] = metric.sign * float(values.mean()) if len(values) else -math.inf
    winner = max(present, key=lambda level: means[level])
    is_drowned = means[winner] - means[present[0]] > DROWNED * metric.margin
    return winner if is_drowned else present[0]


def main_effect(
    levels: Floats, blocks: npt.NDArray[np.int64], factor: int, values: Floats
) -> Contrast:
    """Effect of the factor in column ``factor`` of ``levels`` on each column of ``values``."""
    inside = block_columns(blocks)
    model = np.hstack([inside, factor_columns(levels, inside)])
    weights = np.zeros(model.shape[1])
    weights[inside.shape[1] + factor] = 2.0
    return contrast(model, weights, values, own=inside * levels[:, [factor]])


def mean_difference(levels: Floats, blocks: npt.NDArray[np.int64], values: Floats) -> Contrast:
    """Mean of paired differences ``values`` over cells and blocks, for each column.

    The cells may differ systematically (an average at chance gains more where the weights are
    better), which is no noise, so main effects and pairs are taken out of the residual. Blocks are
    a sample of splits: their variation is the error, moderated by the residual with the prior
    `EMA_BLOCK_PRIOR`. By simulation with eight runs a block, two to four blocks, and a block
    standard deviation of 0.75 to 1.5 times that of a run, 95 % intervals cover at 90 to 99 %; below
    0.75 they are wider than need be.
    """
    inside = block_columns(blocks)
    # A factor with one level left would be indistinguishable from the mean.
    varied = levels[:, (levels != levels[:1]).any(axis=0)]
    model = np.hstack([np.ones((len(levels), 1)), factor_columns(varied, inside)])
    weights = np.zeros(model.shape[1])
    weights[0] = 1.0
    inflation = 1.0 + EMA_BLOCK_PRIOR * len(levels) / max(1, inside.shape[1])
    return contrast(
        model, weights, values, own=inside, prior_dof=EMA_PRIOR_DOF, inflation=inflation
    )


def design_of(runs: Sequence[Run], names: tuple[str, ...]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Levels (runs in rows, factors in columns) and blocks of the runs."""
    levels = np.array([[float(run.levels[name]) for name in names] for run in runs])
    return levels.reshape(len(runs), len(names)), np.array([run.block for run in runs], np.int64)


def outcomes(runs: Sequence[Run], level: str, metric: str) -> tuple[list[Run], Floats]:
    """The runs that converged with a finite ``metric`` on the average ``level``, and its values."""
    return _finite(runs, [run.metrics.get(level, {}).get(metric, math.nan) for run in runs])


def _ema_differences(runs: Sequence[Run], metric: str) -> tuple[list[Run], Floats]:
    values = [
        run.metrics.get("best", {}).get(metric, math.nan)
        - run.metrics.get("reference", {}).get(metric, math.nan)
        for run in runs
    ]
    return _finite(runs, values)


def _finite(runs: Sequence[Run], values: Sequence[float]) -> tuple[list[Run], Floats]:
    kept = [i for i, run in enumerate(runs) if not run.diverged and math.isfinite(values[i])]
    return [runs[i] for i in kept], np.array([[values[i]] for i in kept]).reshape(-1, 1)


def effect_of(estimate: Contrast, num_runs: int) -> Effect:
    """The first column of a contrast as an `Effect`."""
    low, high = estimate.interval(0.05)
    known = bool(np.isfinite(estimate.std_error[0]))
    return Effect(
        mean=float(estimate.mean[0]),
        ci95=(float(low[0]), float(high[0])) if known else (-math.inf, math.inf),
        std_error=float(estimate.std_error[0]),
        dof=estimate.dof,
        num_runs=num_runs,
    )
