"""Estimation of the minimum of a noisy curve over a grid, with an interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import t as student_t

Floats = NDArray[np.float64]
NUM_RESAMPLES = 1000
LEVEL = 0.9
"""Of the intervals; what is within noise of the best is tested at ``1 - LEVEL``, two-sided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimum:
    """The estimated position of the minimum, on the coordinate of the curve.

    Attributes:
        at: The estimate.
        low: Lower end of its interval.
        high: Upper end of its interval.
        near: Which grid values cannot be told from the best.
    """

    at: float
    low: float
    high: float
    near: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Noise:
    """The residuals of single runs after the means of their value and their seed.

    Attributes:
        residuals: Scaled up to the standard deviation that is left of it after the means.
        freedom: Degrees of freedom of the estimate.
    """

    residuals: Floats
    freedom: int

    @classmethod
    def of(cls, *metrics: Floats) -> "Noise":
        """Pooled over grids ``[values, seeds]``, from the better half of the values of each.

        Values that ruin a run are noisier than those that one could choose.
        """
        residuals, freedom = [], 0
        for metric in metrics:
            means = metric.mean(axis=1)
            rows = metric[np.argsort(means)[: max(2, (len(means) + 1) // 2)]]
            centred = rows - rows.mean(axis=1, keepdims=True) - rows.mean(axis=0) + rows.mean()
            num_values, num_seeds = rows.shape
            share = (num_values - 1) * (num_seeds - 1) / rows.size
            residuals.append(centred.ravel() / np.sqrt(share))
            freedom += (num_values - 1) * (num_seeds - 1)
        return cls(residuals=np.concatenate(residuals), freedom=freedom)

    @property
    def sd(self) -> float:
        """Standard deviation of one run."""
        return float(np.sqrt((self.residuals**2).mean()))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """A metric to be minimised over a grid, for several seeds.

    Attributes:
        at: Coordinate of each value of the grid, ascending.
        metric: ``[values, seeds]``; one column shares everything random.
        noise: Of this grid, or of several that are equally noisy.
    """

    at: Floats
    metric: Floats
    noise: Noise

    @property
    def means(self) -> Floats:
        """Mean over seeds for each value."""
        means: Floats = self.metric.mean(axis=1)
        return means

    @property
    def half_width(self) -> float:
        """Smallest difference of two paired means that is beyond noise."""
        quantile = student_t.ppf((1 + LEVEL) / 2, self.noise.freedom)
        return float(quantile * self.noise.sd * np.sqrt(2 / self.metric.shape[1]))

    def optimum(self, seed: int = 0) -> Optimum:
        """Estimate, bootstrap interval, and the values within noise of the best.

        Three seeds have only ten resamples: it is the residuals of all values and seeds that are
        drawn.
        """
        generator = np.random.default_rng(seed)
        shape = (NUM_RESAMPLES, *self.metric.shape)
        drawn = generator.choice(self.noise.residuals, size=shape).mean(axis=2)
        places = [minimum_of(self.at, self.means + noise) for noise in drawn]
        low, high = np.quantile(places, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Optimum(
            at=minimum_of(self.at, self.means),
            low=float(low),
            high=float(high),
            near=self.means - self.means.min() <= self.half_width,
        )

    def excess(self, at: float) -> float:
        """Mean metric at a coordinate above that of the best value of the grid.

        Between two values of the grid it is interpolated; beyond an end it is that of the end.
        """
        return float(np.interp(at, self.at, self.means) - self.means.min())


def minimum_of(at: Floats, values: Floats) -> float:
    """The minimum of a curve that falls to one place and rises from there.

    The curve is fitted by pooling adjacent violators on both sides of every possible place; around
    the best one a parabola through three points of the fit says where between them it lies.
    """
    fits = [_unimodal(values, place) for place in range(len(values))]
    errors = [float(((fit - values) ** 2).sum()) for fit in fits]
    fit = fits[int(np.argmin(errors))]
    # Where the fit is flat, the lowest of the pooled values.
    floor = np.flatnonzero(np.isclose(fit, fit.min(), rtol=0, atol=1e-12))
    place = int(floor[np.argmin(values[floor])])
    if not 0 < place < len(values) - 1:
        return float(at[place])
    (x0, x1, x2), (y0, y1, y2) = at[place - 1 : place + 2], fit[place - 1 : place + 2]
    left, right = (y0 - y1) * (x2 - x1), (y2 - y1) * (x1 - x0)
    if left + right <= 0:
        return float(x1)
    vertex = x1 + (left * (x2 - x1) - right * (x1 - x0)) / (2 * (left + right))
    # Halfway to a neighbour at most: the grid says no more.
    return float(np.clip(vertex, (x0 + x1) / 2, (x1 + x2) / 2))


def _unimodal(values: Floats, place: int) -> Floats:
    """The closest sequence that falls up to ``place`` and rises from it."""
    down = isotonic_regression(values[: place + 1], increasing=False).x
    up = isotonic_regression(values[place:], increasing=True).x
    floor = min(down[-1], up[0])
    fit: Floats = np.concatenate([down[:-1], [floor], up[1:]])
    return fit
