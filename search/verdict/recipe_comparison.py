"""Comparison of recipes over seeds, with margins from the noise between their own runs."""

import math
from collections.abc import Mapping

import numpy as np

from search.records.metrics import metric_of
from search.verdict.blocked_model import t_quantile


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

    def noise(self, metric: str, *, by_seed: bool) -> tuple[float, int]:
        """Estimate one run's standard deviation and its degrees of freedom; both 0 if unknown."""
        cells = [
            (recipe, seed, value)
            for recipe in self._metrics
            for seed, value in self._values(recipe, metric).items()
        ]
        if not cells:
            return 0.0, 0
        columns = [[float(recipe == r) for recipe, _, _ in cells] for r in self._metrics]
        if by_seed:
            seeds = sorted({seed for _, seed, _ in cells})
            columns += [[float(seed == s) for _, seed, _ in cells] for s in seeds]
        model, values = np.array(columns).T, np.array([value for _, _, value in cells])
        coefficients, _, rank, _ = np.linalg.lstsq(model, values, rcond=None)
        dof = len(values) - int(rank)
        if dof == 0:
            return 0.0, 0
        return math.sqrt(float(((values - model @ coefficients) ** 2).sum()) / dof), dof

    def num_runs(self) -> int:
        """Count the runs of all recipes together."""
        return sum(len(seeds) for seeds in self._metrics.values())

    def _margin(self, metric: str, error: float, dof: int) -> float:
        floor = metric_of(metric).margin
        return max(floor, t_quantile(0.05, dof) * error) if dof else floor

    def _values(self, recipe: str, metric: str) -> dict[int, float]:
        seeds = self._metrics.get(recipe, {})
        found = {seed: named.get(metric, math.nan) for seed, named in seeds.items()}
        return {seed: value for seed, value in found.items() if math.isfinite(value)}
