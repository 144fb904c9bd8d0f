"""Comparison of recipes over seeds, with margins from the noise between their own runs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from search.records.metrics import metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.schema import Estimate

Floats = npt.NDArray[np.float64]


class RecipeComparison:
    """Means of metrics by recipe, and the margins that differences must exceed to count.

    Noise is the residual of a metric after subtracting the mean of its recipe and, where two
    recipes were run with the same seeds, of its seed. It is pooled over all recipes, as two or
    three runs of one are too few; where recipes differ in noise, the pooled value is their mean. A
    margin is the half-width of a 95 % t interval, and at least `Metric.margin`.
    """

    def __init__(
        self,
        metrics: Mapping[str, Mapping[int, Mapping[str, float]]],
    ) -> None:
        """Take the metrics by recipe, seed and name.

        Args:
            metrics: Final metrics; values that are not finite count as not measured.
        """
        self._metrics = metrics

    def has(self, recipe: str, metric: str) -> bool:
        """Whether the recipe was measured by ``metric`` at least once."""
        return bool(self._values(recipe, metric))

    def mean(self, recipe: str, metric: str) -> float:
        """Average a metric over the seeds of one recipe."""
        return float(np.mean(list(self._values(recipe, metric).values())))

    def gain(self, recipe: str, other: str, metric: str, other_metric: str = "") -> float:
        """Subtract the second recipe's mean from the first's.

        ``other_metric`` is the metric of the second recipe if it is another one.
        """
        return self.mean(recipe, metric) - self.mean(other, other_metric or metric)

    def margin(self, recipe: str, other: str, metric: str, other_metric: str = "") -> float:
        """Compute the margin that `gain` must exceed to be more than noise."""
        mine, theirs = (
            self._values(recipe, metric),
            self._values(other, other_metric or metric),
        )
        spread, dof = self.noise(metric, by_seed=set(mine) == set(theirs))
        return self._margin(metric, spread * math.sqrt(1 / len(mine) + 1 / len(theirs)), dof)

    def exceeds(self, recipe: str, other: str, metric: str, other_metric: str = "") -> bool:
        """Whether the first recipe's mean is higher beyond noise; False if one was not measured."""
        if not (self.has(recipe, metric) and self.has(other, other_metric or metric)):
            return False
        gain = self.gain(recipe, other, metric, other_metric)
        return gain > self.margin(recipe, other, metric, other_metric)

    def is_above(self, recipe: str, metric: str, threshold: float = 0.0) -> bool:
        """Whether one recipe's mean is above a threshold beyond noise; False if not measured."""
        if not self.has(recipe, metric):
            return False
        spread, dof = self.noise(metric, by_seed=False)
        error = spread / math.sqrt(len(self._values(recipe, metric)))
        return self.mean(recipe, metric) - threshold > self._margin(metric, error, dof)

    def interval(self, recipe: str, metric: str) -> Estimate:
        """Return the mean of one recipe with its 95 % interval; infinite if noise is unknown."""
        mean = self.mean(recipe, metric)
        spread, dof = self.noise(metric, by_seed=False)
        if not dof:
            return Estimate(mean=mean, ci95=(-math.inf, math.inf))
        half = t_quantile(0.05, dof) * spread / math.sqrt(len(self._values(recipe, metric)))
        return Estimate(mean=mean, ci95=(mean - half, mean + half))

    def paired_gain(self, recipe: str, other: str, metric: str) -> Estimate:
        """Estimate `gain` with a 95 % interval where recipes share only some of their seeds.

        Model: recipe + seed + noise over all runs, so that a seed that only one of them has does
        not pass for a difference, and helps to tell what is noise. The interval is infinite where
        that leaves nothing to tell the noise by, or the two share no seed with each other or with
        a third.
        """
        runs = self._runs(metric)
        base = self.mean(other, metric)
        first, second = (self._stands_for(name, metric) for name in (recipe, other))
        model, values = _design(runs, by_seed=True)
        names = list(runs)
        contrast = np.zeros(model.shape[1])
        contrast[names.index(first)] += 1.0
        contrast[names.index(second)] -= 1.0
        inverse = np.linalg.pinv(model.T @ model)
        coefficients = inverse @ model.T @ values
        dof = len(values) - int(np.linalg.matrix_rank(model))
        mean = float(contrast @ coefficients)
        is_estimable = np.allclose(inverse @ model.T @ model @ contrast, contrast)
        if not is_estimable:
            gain = self.gain(recipe, other, metric)
            return Estimate(mean=gain, ci95=(-math.inf, math.inf), base=base)
        if dof == 0:
            return Estimate(mean=mean, ci95=(-math.inf, math.inf), base=base)
        spread = math.sqrt(float(((values - model @ coefficients) ** 2).sum()) / dof)
        half = t_quantile(0.05, dof) * spread * math.sqrt(float(contrast @ inverse @ contrast))
        return Estimate(mean=mean, ci95=(mean - half, mean + half), base=base)

    def noise(self, metric: str, *, by_seed: bool) -> tuple[float, int]:
        """Estimate one run's standard deviation and its degrees of freedom; both 0 if unknown."""
        model, values = _design(self._runs(metric), by_seed=by_seed)
        if not len(values):
            return 0.0, 0
        coefficients, _, rank, _ = np.linalg.lstsq(model, values, rcond=None)
        dof = len(values) - int(rank)
        if dof == 0:
            return 0.0, 0
        return math.sqrt(float(((values - model @ coefficients) ** 2).sum()) / dof), dof

    def mean_of_all(self, recipes: Sequence[str], metric: str) -> Estimate:
        """Return the mean over several recipes with a 95 % interval.

        Runs of one seed may have all of their noise in common, so each seed counts as one run.
        """
        spread, dof = self.noise(metric, by_seed=False)
        mean = float(np.mean([self.mean(recipe, metric) for recipe in recipes]))
        if not dof:
            return Estimate(mean=mean, ci95=(-math.inf, math.inf))
        num_seeds = len({seed for recipe in recipes for seed in self._values(recipe, metric)})
        half = t_quantile(0.05, dof) * spread / math.sqrt(num_seeds)
        return Estimate(mean=mean, ci95=(mean - half, mean + half))

    def num_runs(self) -> int:
        """Count the runs of all recipes together."""
        return sum(len(seeds) for seeds in self._metrics.values())

    def _runs(self, metric: str) -> dict[str, dict[int, float]]:
        """Return values by recipe and seed; runs that stand for two equal recipes count once."""
        found = {recipe: self._values(recipe, metric) for recipe in self._metrics}
        return {r: of for r, of in found.items() if of and self._stands_for(r, metric) == r}

    def _stands_for(self, recipe: str, metric: str) -> str:
        values = self._values(recipe, metric)
        return next(other for other in self._metrics if self._values(other, metric) == values)

    def _margin(self, metric: str, error: float, dof: int) -> float:
        floor = metric_of(metric).margin
        return max(floor, t_quantile(0.05, dof) * error) if dof else floor

    def _values(self, recipe: str, metric: str) -> dict[int, float]:
        seeds = self._metrics.get(recipe, {})
        found = {seed: named.get(metric, math.nan) for seed, named in seeds.items()}
        return {seed: value for seed, value in found.items() if math.isfinite(value)}


def _design(runs: Mapping[str, Mapping[int, float]], *, by_seed: bool) -> tuple[Floats, Floats]:
    """Return the model matrix, a column per recipe and then per seed, and the values by run."""
    cells = [(recipe, seed, of[seed]) for recipe, of in runs.items() for seed in of]
    columns = [[float(recipe == r) for recipe, _, _ in cells] for r in runs]
    if by_seed:
        seeds = sorted({seed for _, seed, _ in cells})
        columns += [[float(seed == s) for _, seed, _ in cells] for s in seeds]
    return np.array(columns).T, np.array([value for _, _, value in cells])
