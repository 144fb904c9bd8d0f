"""Measures of predicted probabilities: refined log-loss, calibration error, Brier score.

Refined log-loss is what remains of the log-loss after the best single temperature (Guo et al. 2017,
arXiv 1706.04599; Berta et al. 2025, "refine, then calibrate"). Label smoothing and weight averages
move the calibration of a model, which can be repaired afterwards; the refinement they cost cannot.
"""

import math

import numpy as np
import torch
from torch import Tensor

MIN_TEMPERATURE = 1e-6
"""Lower end of the search; on data that the logits separate, the optimum would be zero."""
MAX_TEMPERATURE = 1e6
"""Upper end of the search; on logits that say nothing, the optimum would be infinity."""

_TOLERANCE = 1e-9
_MAX_ITERATIONS = 100


class NonFiniteError(RuntimeError):
    """A model's output holds NaN or infinity, so no metric of it means anything."""


def refined_nll(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Compute the log-loss after temperature scaling, and the temperature.

    The temperature is fitted on the very images that are scored. That is one parameter for all of
    them, so the optimism is of the order of ``1 / (2 N)`` nats, the same for every recipe; it is
    still a diagnostic and not an estimate of what a deployed, separately calibrated model reaches.

    As a function of the inverse temperature ``b`` the log-loss is convex, with slope
    ``mean(E_p[z] - z_label)`` and curvature ``mean(Var_p[z])`` under ``p = softmax(b z)``. Newton's
    method on the slope, kept inside a bracket that bisection in ``log b`` shrinks, finds its root.

    Args:
        logits: Finite, ``[N, K]``, ``N`` at least 1.
        labels: Class indices, ``[N]``.

    Returns:
        The log-loss in nats, never above the one at temperature 1, and the temperature in
        ``[MIN_TEMPERATURE, MAX_TEMPERATURE]``, both ends included. A temperature at an end means
        that the optimum lies beyond it.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    require_finite(logits)
    z = logits.double()
    # Shifting a row by a constant leaves softmax alone; relative to the label's own logit, the
    # loss is mean(logsumexp(b z)) and large common offsets cost no digits.
    z = z - z.gather(1, labels[:, None])

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if _slope_and_curvature(z, low)[0] >= 0:
        inverse = low
    elif _slope_and_curvature(z, high)[0] <= 0:
        inverse = high
    else:
        inverse = 1.0
        for _ in range(_MAX_ITERATIONS):
            slope, curvature = _slope_and_curvature(z, inverse)
            if slope > 0:
                high = inverse
            else:
                low = inverse
            newton = inverse - slope / curvature if curvature > 0 else math.inf
            following = newton if low < newton < high else math.sqrt(low * high)
            converged = abs(following - inverse) <= _TOLERANCE * inverse
            inverse = following
            if converged:
                break
    # The optimum is at most the loss at 1, but rounding could put it a last digit above.
    return min(_log_loss(z, inverse), _log_loss(z, 1.0)), 1 / inverse


def expected_calibration_error(probs: Tensor, labels: Tensor, num_bins: int = 15) -> float:
    """Compute the mean distance of confidence and accuracy over bins (Guo et al. 2017, eq. 3).

    Confidence is the largest probability. The bins ``(i / num_bins, (i + 1) / num_bins]`` have
    equal width. On ``N`` images noise adds up to the order of ``sqrt(num_bins / N) / 2``, so
    it compares models on the same images and means little alone on a few hundred.

    Args:
        probs: Probabilities, ``[N, K]``, rows sum to 1.
        labels: Class indices, ``[N]``.
        num_bins: At least 1.

    Returns:
        The error in ``[0, 1]``.
    """
    confidence, predicted = probs.double().max(dim=1)
    inner_edges = torch.linspace(0, 1, num_bins + 1, dtype=torch.float64)[1:-1]
    # `right=False`: a confidence that equals an edge belongs to the bin that it closes.
    bins = torch.bucketize(confidence, inner_edges.to(confidence.device), right=False)
    excess = confidence - (predicted == labels).double()
    # |mean confidence - accuracy| times the bin's share is |sum of excess| / N.
    sums = torch.zeros(num_bins, dtype=torch.float64, device=bins.device).index_add(0, bins, excess)
    return float(sums.abs().sum() / len(labels))


def brier_score(probs: Tensor, labels: Tensor) -> float:
    """Compute the mean squared distance of probabilities to one-hot labels (Brier 1950).

    The score lies in ``[0, 2]``; two classes are scored like many, without halving the range.
    """
    from sklearn.metrics import brier_score_loss  # Slow to load, and asked of a last epoch only.

    num_classes = probs.shape[1]
    # scikit-learn insists on rows that sum to 1 within float64's reach.
    rows = probs.double().cpu()
    return float(
        brier_score_loss(
            labels.cpu().numpy(),
            (rows / rows.sum(dim=1, keepdim=True)).numpy(),
            labels=np.arange(num_classes),
            scale_by_half=False,
        )
    )


def require_finite(logits: Tensor) -> None:
    """Raise if logits are not finite, before metrics are computed from them.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    bad = int((~logits.isfinite()).any(dim=1).sum())
    if bad:
        raise NonFiniteError(
            f"Logits must be finite, but {bad} of {len(logits)} images have NaN or infinity."
        )


def _log_loss(z: Tensor, inverse: float) -> float:
    return float(torch.logsumexp(inverse * z, dim=1).mean())


def _slope_and_curvature(z: Tensor, inverse: float) -> tuple[float, float]:
    """Compute first and second derivative of the log-loss in the inverse temperature."""
    weighted = torch.softmax(inverse * z, dim=1).mul_(z)
    mean = weighted.sum(dim=1)
    variance = weighted.mul_(z).sum(dim=1) - mean.square()
    return float(mean.mean()), float(variance.mean())
