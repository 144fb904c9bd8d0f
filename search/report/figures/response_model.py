"""Regression of a metric on the strengths over the search's full-length trials.

The curves illustrate and decide nothing: trials are few, they concentrate where the search found
good values, and those that were stopped early are missing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.records.trials import Trial
from search.stages.selection import full_length
from search.verdict.blocked_model import t_quantile

Floats = npt.NDArray[np.float64]

MIN_TRIALS = 6
"""Fewest full-length trials inside the space for a curve, however few axes are searched."""
_SHARES = (np.arange(64) + 0.5) / 64
"""Grid of the share of the variation that the strengths explain, with a uniform prior."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A metric as a function of one strength, with the others at their mean.

    Attributes:
        positions: Positions on the strength's axis, in [0, 1].
        mean: Predicted mean of the metric at each position.
        low: Low end of the 95 % band of the mean.
        high: High end of the band.
    """

    positions: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def least_trials(names: Sequence[str]) -> int:
    """Return the fewest full-length trials for curves: more than there are axes."""
    return max(MIN_TRIALS, len(names) + 1)


def usable_trials(trials: Sequence[Trial], names: Sequence[str], metric: str) -> list[Trial]:
    """Select the search's full-length trials inside the space that have a finite metric."""
    return [
        trial
        for trial in full_length([t for t in trials if t.spec.stage == "search"])
        if set(names) <= set(trial.spec.positions)
        and math.isfinite(trial.records[-1].metrics.get(metric, math.nan))
    ]


def responses(
    trials: Sequence[Trial], names: Sequence[str], metric: str, *, num_points: int = 41
) -> dict[str, Response]:
    """Fit one additive quadratic in the positions; return a curve per strength.

    Half a dozen trials do not determine how much to shrink the coefficients. The curve is therefore
    the mean over ridge regressions, one for each share of the variation that the strengths may
    explain, weighted by their evidence (model averaging, Hoeting et al. 1999, Statistical Science
    14(4), with unknown noise). The band includes the spread between them, so that few trials give a
    flat line in a wide band. In simulations with 6 to 60 trials it covers a true quadratic at 90 to
    99 %.

    Args:
        trials: Result of `usable_trials`, at least two.
        names: Names of the searched axes.
        metric: Reported name of the metric.
        num_points: Number of points of each curve, at least 2.
    """
    places, values = _data(trials, names, metric)
    features = _quadratic(places)
    centre = features.mean(axis=0)
    grid = np.linspace(0.0, 1.0, num_points)
    found = {}
    for column, name in enumerate(names):
        asked = np.tile(np.zeros_like(centre), (num_points, 1))
        own = _quadratic(grid[:, None])
        asked[:, [column, column + len(names)]] = own - centre[[column, column + len(names)]]
        mean, half = _averaged_ridge(features - centre, values, asked)
        found[name] = Response(
            positions=tuple(grid.tolist()),
            mean=tuple(mean.tolist()),
            low=tuple((mean - half).tolist()),
            high=tuple((mean + half).tolist()),
        )
    return found


def _averaged_ridge(features: Floats, values: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Compute mean and half-width of the 95 % band at ``asked``, for centred features.

    Given the ratio of prior to noise variance, the coefficients have a multivariate t distribution.
    The ratios follow from `_SHARES`. Features and ``asked`` have a row per point.
    """
    num_trials = len(values)
    basis, scale, directions = np.linalg.svd(features, full_matrices=False)
    centred = values - values.mean()
    seen = basis.T @ centred
    ratios = (_SHARES / (1.0 - _SHARES) * num_trials / max(1e-12, float(scale @ scale)))[:, None]
    inflated = 1.0 + ratios * scale**2
    unexplained = max(0.0, float(centred @ centred - seen @ seen))
    squares = unexplained + (seen**2 / inflated).sum(axis=1)
    # The lower limit keeps the logarithm finite if all trials have equal values.
    evidence = -0.5 * np.log(inflated).sum(axis=1)
    evidence -= 0.5 * (num_trials - 1) * np.log(np.maximum(squares, 1e-24))
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    along = asked @ directions.T
    # Directions in which no trials differ keep their prior variance.
    beside = np.maximum((asked**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
    means = (ratios * scale * seen / inflated) @ along.T
    noise = (squares / (num_trials - 1))[:, None]
    spread = noise * (1.0 / num_trials + (ratios / inflated) @ (along**2).T + ratios * beside)
    mean = weights @ means
    variance = weights @ (spread + (means - mean) ** 2)
    return values.mean() + mean, t_quantile(0.05, num_trials - 1) * np.sqrt(variance)


def _data(trials: Sequence[Trial], names: Sequence[str], metric: str) -> tuple[Floats, Floats]:
    """Return the positions, a row per trial, and the values of the metric."""
    places = np.array([[trial.spec.positions[name] for name in names] for trial in trials])
    values = np.array([trial.records[-1].metrics[metric] for trial in trials])
    return places, values


def _quadratic(places: Floats) -> Floats:
    """Make the features: positions relative to the middle of the axis, then their squares."""
    middle = places - 0.5
    return np.hstack([middle, middle**2])
