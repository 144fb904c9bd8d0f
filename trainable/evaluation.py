"""Predictions of a model on clean images, and metrics computed from them.

Metrics are pure functions of logits and integer labels: never smoothed, never mixed. Whose weights
they judge, raw or averaged, is decided by the model that `predict` is given.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.augment.batch_augment import Normalizer
from trainable.calibration import (
    brier_score,
    expected_calibration_error,
    refined_nll,
    require_finite,
)

WORST = {"top1": 0.0, "nll": 1e3, "nll_refined": 1e3}
"""Values that a diverged run reports for `quick_metrics`: finite, and worse than any other."""


class ImageSource(Protocol):
    """Images by position: an array, a memory map, or a tensor on the device."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> Any:
        """Return the images at ``indices``, uint8 ``[B, H, W, 3]``."""


def predict(
    model: nn.Module,
    images: ImageSource,
    indices: Sequence[int] | NDArray[np.int64] | Tensor,
    *,
    batch_size: int,
    device: torch.device | str,
    normalize: Normalizer,
) -> Tensor:
    """Compute the logits of ``model`` in evaluation mode.

    Every module has its own training flag back afterwards, also when the model raises: a frozen
    BatchNorm stays frozen.

    Args:
        model: Maps normalized images to logits.
        images: Source of the images.
        indices: Indices of the images, in the order of the result; at least one.
        batch_size: Images per forward pass, at least 1.
        device: Device of the model.
        normalize: Function from uint8 images to the model's input.

    Returns:
        ``[N, K]`` float32 on the CPU.
    """
    positions = np.asarray(indices, dtype=np.int64)
    with _evaluation_mode(model), torch.inference_mode():
        chunks = [
            # Kept on the device until the end, so that copying back does not stall each batch.
            model(normalize(images[positions[start : start + batch_size]]).to(device)).float()
            for start in range(0, len(positions), batch_size)
        ]
        logits = torch.cat(chunks).cpu()
    return logits.clone()  # Outside inference mode: an ordinary tensor that autograd may touch.


def quick_metrics(logits: Tensor, labels: Tensor, *, with_errors: bool = False) -> dict[str, float]:
    """Compute the metrics of each evaluation: top-1, log-loss and refined log-loss (`refined_nll`).

    A metric that is added here gets a value in `WORST` and, if a run is to be searched or judged by
    it, an entry in `search.records.metrics`.

    Args:
        logits: ``[N, K]``, ``N`` at least 1.
        labels: Class indices, ``[N]``.
        with_errors: Whether to add the standard errors of both log-losses over images, the refined
            one's at the fitted temperature: ``nll_se`` and ``nll_refined_se``.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    require_finite(logits)
    refined, temperature = refined_nll(logits, labels)
    metrics = {
        "top1": float((logits.argmax(dim=1) == labels).double().mean()),
        # In float64: a float32 mean of a log-loss near 1e-8 would round to zero.
        "nll": float(F.cross_entropy(logits.double(), labels)),
        "nll_refined": refined,
    }
    return metrics | (_nll_errors(logits, labels, temperature) if with_errors else {})


def _nll_errors(logits: Tensor, labels: Tensor, temperature: float) -> dict[str, float]:
    return {
        name: float(
            F.cross_entropy(z, labels, reduction="none").std(correction=0) / len(labels) ** 0.5
        )
        for name, z in (
            ("nll_se", logits.double()),
            ("nll_refined_se", logits.double() / temperature),
        )
    }


def full_metrics(logits: Tensor, labels: Tensor, *, with_errors: bool = False) -> dict[str, float]:
    """Compute `quick_metrics`, top-5, Brier score, calibration error and worst class accuracy.

    A run reports them after its last epoch. With fewer than five classes top-5 accuracy is 1;
    ``worst_class_top1`` is the lowest of `per_class_accuracy`.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    quick = quick_metrics(logits, labels, with_errors=with_errors)
    top5 = logits.topk(min(5, logits.shape[1]), dim=1).indices
    probs = logits.double().softmax(dim=1)
    return quick | {
        "top5": float((top5 == labels[:, None]).any(dim=1).double().mean()),
        "brier": brier_score(probs, labels),
        "ece": expected_calibration_error(probs, labels),
        "worst_class_top1": float(np.nanmin(per_class_accuracy(logits, labels))),
    }


def per_class_accuracy(logits: Tensor, labels: Tensor) -> list[float]:
    """Compute the accuracy on each class, NaN for a class without images."""
    from sklearn.metrics import recall_score  # Slow to load, and asked of a last epoch only.

    recalls = recall_score(
        labels.cpu().numpy(),
        logits.argmax(dim=1).cpu().numpy(),
        labels=np.arange(logits.shape[1]),
        average=None,
        zero_division=np.nan,
    )
    return [float(recall) for recall in recalls]


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        # Not `model.train()`: that would also switch modules that were frozen on purpose.
        for module, training in flags:
            module.training = training
