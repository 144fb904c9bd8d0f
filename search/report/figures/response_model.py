"""What the search's full-length trials say about each strength: a curve with a band.

Search evidence illustrates and decides nothing: its trials are few, they crowd where the search
liked what it saw, and those that were stopped early are missing.
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
"""Fewest full-length trials inside the space, however few axes are searched."""
_SHARES = (np.arange(64) + 0.5) / 64
"""Shares of the variation between trials that the strengths may explain, all as likely at first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """How a metric goes with one strength, the others held at their mean.

    Attributes:
        positions: Positions of the curve, from 0 to 1.
        mean: Of the metric there.
        low: Low end of the 95 % band of the mean.
        high: High end of it.
    """

    positions: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def least_trials(names: Sequence[str]) -> int:
    """Full-length trials that curves need: with no more than axes, even a plane is left open."""
    return max(MIN_TRIALS, len(names) + 1)


def usable_trials(trials: Sequence[Trial], names: Sequence[str], metric: str) -> list[Trial]:
    """The full-length trials of the search that lie inside the space and have a finite metric."""
    return [
        trial
        for trial in full_length([t for t in trials if t.spec.stage == "search"])
        if set(names) <= set(trial.spec.positions)
        and math.isfinite(trial.records[-1].metrics.get(metric, math.nan))
    ]


def responses(
    trials: Sequence[Trial], names: Sequence[str], metric: str, *, num_points: int = 41
) -> dict[str, Response]:
    """A curve per strength from one additive quadratic in positions.

    How much to shrink slopes and bends is not settled on one value, for half a dozen trials cannot
    tell: the curve is the mean over all shares of the variation that the strengths may explain,
    weighed by how well each agrees with the trials (model averaging, Hoeting et al. 1999,
    Statistical Science 14(4), over ridge regressions with unknown noise). The band holds the spread
    over the shares too, so that few trials give a flat line in a wide band. By simulation with 6 to
    60 trials it covers a true quadratic at 90 to 99 %.

    Args:
        trials: From `usable_trials`, at least two.
        names: Strengths, and any other axes that were searched.
        metric: What is explained.
        num_points: Of each curve, at least 2.
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
    """Mean and half-width of the 95 % band at ``asked``; the features are centred.

    Given the ratio of prior to noise variance, the coefficients are multivariate t; ratios are
    those of `_SHARES`.
    """
    num_trials = len(values)
    basis, scale, directions = np.linalg.svd(features, full_matrices=False)
    centred = values - values.mean()
    seen = basis.T @ centred
    ratios = (_SHARES / (1.0 - _SHARES) * num_trials / max(1e-12, float(scale @ scale)))[:, None]
    inflated = 1.0 + ratios * scale**2
    unexplained = max(0.0, float(centred @ centred - seen @ seen))
    squares = unexplained + (seen**2 / inflated).sum(axis=1)
    # Equal values leave nothing to weigh, whatever the share.
    evidence = -0.5 * np.log(inflated).sum(axis=1)
    evidence -= 0.5 * (num_trials - 1) * np.log(np.maximum(squares, 1e-24))
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    along = asked @ directions.T
    # What no trial varied has its prior variance.
    beside = np.maximum((asked**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
    means = (ratios * scale * seen / inflated) @ along.T
    noise = (squares / (num_trials - 1))[:, None]
    spread = noise * (1.0 / num_trials + (ratios / inflated) @ (along**2).T + ratios * beside)
    mean = weights @ means
    variance = weights @ (spread + (means - mean) ** 2)
    return values.mean() + mean, t_quantile(0.05, num_trials - 1) * np.sqrt(variance)


def _data(trials: Sequence[Trial], names: Sequence[str], metric: str) -> tuple[Floats, Floats]:
    """Positions, a row per trial, and values of the metric."""
    places = np.array([[trial.spec.positions[name] for name in names] for trial in trials])
    values = np.array([trial.records[-1].metrics[metric] for trial in trials])
    return places, values


def _quadratic(places: Floats) -> Floats:
    """Positions from the middle of the axis, then their squares."""
    middle = places - 0.5
    return np.hstack([middle, middle**2])
