"""Effects on each metric of moving one strength from the reference's to the best's value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.blocked_model import (
    MIN_RESIDUAL_DOF,
    Contrast,
    Floats,
    block_columns,
    contrast,
    factor_columns,
    t_quantile,
)
from search.verdict.design import AVERAGES, WithinRun
from search.verdict.schema import Estimate, effect_metrics

DROWNED = 10.0
"""Lag of the best's weight average above which effects are measured on another average.

In margins of the metric (`Metric.margin`): 10 margins are 5 points of top-1.
"""

SPLIT_PRIOR, LOSS_SPLIT_PRIOR = 1.2, 1.8
"""Prior guess of the ratio of an effect's own mean square to the residual one: shares, losses.

An effect differs from split to split. In the recorded experiments of docs/planted.md its standard
deviation between splits is about a third of that between runs for accuracy, and about equal to it
for log-loss. The 95 % intervals allow for that. Decisions do not, as they ask whether a strength
changes anything on this pool of images; they are tested to be rarely false under that variation.
"""

WITHIN_BLOCK_PRIOR = 1.0
"""Prior guess of how much a difference within runs varies between blocks.

As the ratio of its standard deviation between blocks to that between runs of a block.
"""

LAGGING_BLOCK_PRIOR = 2.25
"""The same where one of the two measurements lags by more than `DROWNED` margins.

The difference then is as variable as the accuracy itself, which was recorded to vary up to 2.9
times as much between blocks as between runs.
"""

WITHIN_PRIOR_DOF = 3
"""Weight of the guess `WITHIN_BLOCK_PRIOR`, in degrees of freedom."""

PAIRS_DOF = 4
"""Fewest residual degrees of freedom for pair interactions when only asking whether to stop.

After two rounds, a strong interaction left out of the model hides every effect: that must not stop
the experiment.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One finished run of the experiment.

    Attributes:
        run_id: Name of the trial.
        block: Block it belongs to.
        levels: -1 (reference) or +1 (best) for each trajectory factor.
        metrics: Final metrics by measurement, then by name: of the weight averages ``reference``
            and ``best``, of the raw weights, ``none``, and what further `WithinRun` factors name.
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
        mean: Estimate in the unit of the metric; NaN if the runs do not determine it.
        ci95: Both ends of the 95 % interval over splits of this pool of images, infinite if
            unknown.
        std_error: Standard error that decisions use, infinite if unknown.
        dof: Degrees of freedom of ``std_error``, 0 if unknown.
        num_runs: Number of runs behind the estimate, without diverged ones.
        base: Mean of the metric at the reference level, half an effect below the mean of all runs;
            None if unknown.
    """

    mean: float
    ci95: tuple[float, float] = field(default=(-math.inf, math.inf))
    std_error: float = math.inf
    dof: int = 0
    num_runs: int = 0
    base: float | None = None

    @property
    def estimate(self) -> Estimate:
        """The mean and its interval."""
        return Estimate(mean=self.mean, ci95=self.ci95, base=self.base)

    @property
    def is_estimable(self) -> bool:
        """Whether the runs determine this strength's effect separately from the others."""
        return not math.isnan(self.mean)

    def times(self, sign: float) -> "Effect":
        """Multiply the effect and its interval by 1.0 or -1.0; the latter has no ``base``."""
        if sign > 0.0:
            return self
        low, high = self.ci95
        return replace(self, mean=-self.mean, ci95=(-high, -low), base=None)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Compute both ends of the two-sided interval with error probability ``alpha``."""
        if not math.isfinite(self.std_error):
            return (-math.inf, math.inf)
        half = t_quantile(alpha, self.dof) * self.std_error
        return (self.mean - half, self.mean + half)


NO_EFFECT = Effect(mean=math.nan)
"""The effect that stands for "unknown", when no run is left to estimate it."""


def estimate_effects(
    runs: Sequence[Run],
    names: tuple[str, ...],
    *,
    within: Sequence[WithinRun] = (),
    first: Metric = TOP1,
    least_dof: int = MIN_RESIDUAL_DOF,
    level: str | None = None,
) -> dict[str, dict[str, Effect]]:
    """Estimate the effect of each strength on each metric from all runs at once.

    Trajectory effects are twice the coefficient of the factor, averaged over the levels of the
    others and measured on the average of `trajectory_level`, unless ``level`` names another. The
    effect of a factor within runs is the mean over cells and blocks of the difference best minus
    reference. Error terms: `search.verdict.blocked_model`.

    A diverged run, or one without a finite value of the metric, is left out of that metric's fit;
    `Effect.num_runs` says how many were left. What the remaining runs cannot separate is returned
    as an effect with a mean of NaN, never guessed.

    Args:
        runs: Runs of the experiment, all blocks.
        names: Trajectory factors.
        within: Factors of which every run measures both levels; each adds an entry.
        first: Metric that decides the dials first; it also selects the average.
        least_dof: Residual degrees of freedom that pair interactions must leave to be in the model.
        level: Weights on which trajectory effects are measured, to compare them with those of other
            runs; None chooses by these runs.
    """
    level = level or trajectory_level(runs, ema=AVERAGES in within, metric=first)
    result: dict[str, dict[str, Effect]] = {name: {} for name in names}
    result |= {factor.name: {} for factor in within}
    block_priors = {factor.name: _block_prior(runs, factor, first) for factor in within}
    for metric in effect_metrics(first):
        kept, values = outcomes(runs, level, metric)
        levels, blocks = design_of(kept, names)
        split = SPLIT_PRIOR if metric_of(metric).is_share else LOSS_SPLIT_PRIOR
        for factor, name in enumerate(names):
            found = main_effect(levels, blocks, factor, values, least_dof=least_dof)
            honest = main_effect(
                levels, blocks, factor, values, least_dof=least_dof, inflation=split
            )
            effect = effect_of(found, len(kept), interval=honest)
            result[name][metric] = replace(effect, base=_base(values, effect.mean))
        for pair in within:
            kept, values = _differences(runs, pair, metric)
            estimate = mean_difference(
                *design_of(kept, names), values, block_prior=block_priors[pair.name]
            )
            effect = effect_of(estimate, len(kept))
            measured = [run.metrics[pair.reference][metric] for run in kept]
            result[pair.name][metric] = replace(
                effect, base=float(np.mean(measured)) if measured else None
            )
    return result


def _base(values: Floats, effect: float) -> float | None:
    """Return the mean at the reference level in a balanced design; None if it is unknown."""
    return float(values.mean()) - effect / 2.0 if len(values) and math.isfinite(effect) else None


def trajectory_level(runs: Sequence[Run], *, ema: bool, metric: Metric = TOP1) -> str:
    """Choose the weight average on which trajectory effects are measured.

    It is the best's, unless the mean of the metric on validation images is more than `DROWNED`
    margins better on another one: an average that lags far behind hides the effects of the
    trajectory. The mean over all cells is independent of the differences between cells, so choosing
    by it does not bias an effect.
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
    levels: Floats,
    blocks: npt.NDArray[np.int64],
    factor: int,
    values: Floats,
    *,
    least_dof: int = MIN_RESIDUAL_DOF,
    inflation: float = 1.0,
) -> Contrast:
    """Estimate the effect of column ``factor`` of ``levels`` on each column of ``values``."""
    model, weights, own = _main_columns(
        levels.tobytes(), levels.shape, blocks.tobytes(), factor, least_dof
    )
    return contrast(model, weights, values, own=own, inflation=inflation)


@lru_cache(maxsize=512)
def _main_columns(
    levels_: bytes, shape: tuple[int, ...], blocks_: bytes, factor: int, least_dof: int
) -> tuple[Floats, Floats, Floats]:
    # Every metric, look and replay of an experiment has one of a few designs.
    levels = np.frombuffer(levels_).reshape(shape)
    inside = block_columns(np.frombuffer(blocks_, np.int64))
    model = np.hstack([inside, factor_columns(levels, inside, least_dof=least_dof)])
    weights = np.zeros(model.shape[1])
    weights[inside.shape[1] + factor] = 2.0
    return model, weights, inside * levels[:, [factor]]


def mean_difference(
    levels: Floats,
    blocks: npt.NDArray[np.int64],
    values: Floats,
    *,
    block_prior: float = WITHIN_BLOCK_PRIOR,
) -> Contrast:
    """Estimate the mean of paired differences ``values`` over cells and blocks, for each column.

    The cells may differ systematically (an average at chance gains more where the weights are
    better), which is no noise, so main effects and pairs are taken out of the residual. Blocks are
    a sample of splits: their variation is the error, moderated by the residual with the prior
    ``block_prior``, a guess of the ratio of the standard deviation between blocks to that between
    runs. In simulations with eight runs a block and two to four blocks, 95 % intervals cover at
    93 % or more up to a true ratio of 3 with `LAGGING_BLOCK_PRIOR`, and up to 1.25 with
    `WITHIN_BLOCK_PRIOR`; where blocks vary less than guessed they are wider than needed.
    """
    inside = block_columns(blocks)
    # A factor with one level left would be indistinguishable from the mean.
    varied = levels[:, (levels != levels[:1]).any(axis=0)]
    model = np.hstack([np.ones((len(levels), 1)), factor_columns(varied, inside)])
    weights = np.zeros(model.shape[1])
    weights[0] = 1.0
    inflation = 1.0 + block_prior**2 * len(levels) / max(1, inside.shape[1])
    return contrast(
        model, weights, values, own=inside, prior_dof=WITHIN_PRIOR_DOF, inflation=inflation
    )


def design_of(runs: Sequence[Run], names: tuple[str, ...]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the levels (runs in rows, factors in columns) and the block number of each run."""
    levels = np.array([[float(run.levels[name]) for name in names] for run in runs])
    return levels.reshape(len(runs), len(names)), np.array([run.block for run in runs], np.int64)


def outcomes(runs: Sequence[Run], level: str, metric: str) -> tuple[list[Run], Floats]:
    """Select the runs that did not diverge and have a finite ``metric`` on the average ``level``.

    The second result has their values, runs in rows, one column.
    """
    return _finite(runs, [run.metrics.get(level, {}).get(metric, math.nan) for run in runs])


def _differences(runs: Sequence[Run], factor: WithinRun, metric: str) -> tuple[list[Run], Floats]:
    values = [
        run.metrics.get(factor.best, {}).get(metric, math.nan)
        - run.metrics.get(factor.reference, {}).get(metric, math.nan)
        for run in runs
    ]
    return _finite(runs, values)


def _block_prior(runs: Sequence[Run], factor: WithinRun, metric: Metric) -> float:
    """Choose the prior guess of the variation between blocks by how far one measurement lags."""
    _, values = _differences(runs, factor, metric.on("val"))
    lags = len(values) > 0 and abs(float(values.mean())) > DROWNED * metric.margin
    return LAGGING_BLOCK_PRIOR if lags else WITHIN_BLOCK_PRIOR


def _finite(runs: Sequence[Run], values: Sequence[float]) -> tuple[list[Run], Floats]:
    kept = [i for i, run in enumerate(runs) if not run.diverged and math.isfinite(values[i])]
    return [runs[i] for i in kept], np.array([[values[i]] for i in kept]).reshape(-1, 1)


def effect_of(estimate: Contrast, num_runs: int, *, interval: Contrast | None = None) -> Effect:
    """Convert a contrast's first column into an `Effect`; ``interval`` gives the 95 % interval."""
    low, high = (interval or estimate).interval(0.05)
    known = bool(np.isfinite(estimate.std_error[0]))
    return Effect(
        mean=float(estimate.mean[0]),
        ci95=(float(low[0]), float(high[0])) if known else (-math.inf, math.inf),
        std_error=float(estimate.std_error[0]),
        dof=estimate.dof,
        num_runs=num_runs,
    )
