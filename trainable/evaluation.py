"""Predictions of a model on clean images, and metrics computed from them.

Metrics are pure functions of logits and integer labels: never smoothed, never mixed. Whose weights
they judge, raw or averaged, is decided by the model that `predict` is given.

Balanced accuracy and macro-F1 count every class equally.
Both are means over the classes that have images in the part they are measured on; a class without
an image there has no recall and is left out. On the same labels they equal scikit-learn's
``balanced_accuracy_score(labels, predicted)`` and ``f1_score(labels, predicted, average="macro",
labels=np.unique(labels), zero_division=0)``. (Without ``labels=`` scikit-learn also averages over
classes that are only predicted, so that one wrong image adds a class of F1 0 to the mean.)

The standard error is that over images: other images of the same classes, as many of each. An image
moves a metric by its *contribution*, the derivative of the metric by that image's share (the delta
method: van der Vaart 1998, Asymptotic Statistics, chapter 20; exact for balanced accuracy), so the
variance of the metric is that of contributions within their classes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.calibration import (
    brier_score,
    expected_calibration_error,
    refined_nll,
    require_finite,
)

WORST = {"top1": 0.0, "nll": 1e3, "nll_refined": 1e3, "balanced_top1": 0.0, "macro_f1": 0.0}
"""Values that a diverged run reports for `quick_metrics`: finite, and worse than any other."""


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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
    normalize: Callable[[Any], Tensor],
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
    """Compute the metrics of each evaluation.

    They are top-1, log-loss, refined log-loss (`refined_nll`), and balanced accuracy and macro-F1,
    which are means over the classes that have images here (`class_metrics`).

    A metric that is added here gets a value in `WORST` and, if a run is to be searched or judged by
    it, an entry in `search.records.metrics`.

    Args:
        logits: ``[N, K]``, ``N`` at least 1.
        labels: Class indices, ``[N]``.
        with_errors: Whether to add the standard errors over images of all but top-1, that of the
            refined log-loss at the fitted temperature: ``nll_se`` and so on.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    require_finite(logits)
    refined, temperature = refined_nll(logits, labels)
    predicted = logits.argmax(dim=1)
    metrics = {
        "top1": float((predicted == labels).double().mean()),
        # In float64: a float32 mean of a log-loss near 1e-8 would round to zero.
        "nll": float(F.cross_entropy(logits.double(), labels)),
        "nll_refined": refined,
    }
    over_classes = class_metrics(labels.cpu().numpy(), predicted.cpu().numpy(), logits.shape[1])
    metrics |= {name: metric.value for name, metric in over_classes.items()}
    if not with_errors:
        return metrics
    errors = {f"{name}_se": metric.std_error for name, metric in over_classes.items()}
    return metrics | _nll_errors(logits, labels, temperature) | errors


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassMetric:
    """A metric that counts every class equally, on some images.

    Attributes:
        value: In ``[0, 1]``.
        std_error: Over images, above 0.
        contributions: Of each image. Only their differences within a class mean something: the sum
            over images of the square of contribution minus mean of its class, divided by the
            square of the number of images, is the variance of the metric over images.
    """

    value: float
    std_error: float
    contributions: Floats


def class_metrics(
    labels: Integers, predicted: Integers, num_classes: int
) -> dict[str, ClassMetric]:
    """Compute ``balanced_top1`` and ``macro_f1`` from true and predicted classes.

    A standard error counts one right and one wrong image more in each class, like that of top-1
    (`search.records.metrics.error_over_images`), so that a class of 8 images that are all right
    is not called exact.

    Args:
        labels: Class of each image, at least one image.
        predicted: Predicted class of each image.
        num_classes: Number of classes, above every label and prediction.
    """
    is_right = labels == predicted
    of_class = np.bincount(labels, minlength=num_classes)
    as_class = np.bincount(predicted, minlength=num_classes)
    hits = np.bincount(labels[is_right], minlength=num_classes)
    present = of_class > 0
    scale = len(labels) / present.sum()

    recall = hits / np.maximum(of_class, 1)
    if_right = scale / np.maximum(of_class, 1)
    balanced = _metric(
        float(recall[present].mean()),
        labels,
        contributions=np.where(is_right, if_right[labels], 0.0),
        if_right=if_right,
        if_wrong=np.zeros(num_classes),
    )

    # An image moves the F1 of the class that it is predicted as, 2 hits / (images + predictions),
    # up as a hit and down as a prediction, and no other.
    either = np.maximum(of_class + as_class, 1)
    f1 = 2.0 * hits / either
    if_right = scale * (2.0 - f1) / either
    as_wrong = np.where(present, -scale * f1 / either, 0.0)
    # Another wrong image would be predicted as any of the other classes.
    num_others = max(1, int(present.sum()) - 1)
    macro = _metric(
        float(f1[present].mean()),
        labels,
        contributions=np.where(is_right, if_right[labels], as_wrong[predicted]),
        if_right=if_right,
        if_wrong=(as_wrong.sum() - as_wrong) / num_others,
    )
    return {"balanced_top1": balanced, "macro_f1": macro}


def _metric(
    value: float,
    labels: Integers,
    *,
    contributions: Floats,
    if_right: Floats,
    if_wrong: Floats,
) -> ClassMetric:
    """Make a metric; the last two are contributions of a further right and wrong image by class."""
    of_class = np.bincount(labels, minlength=len(if_right))
    num = of_class + 2
    total = np.bincount(labels, contributions, len(if_right)) + if_right + if_wrong
    squares = np.bincount(labels, contributions**2, len(if_right)) + if_right**2 + if_wrong**2
    variance = squares / num - (total / num) ** 2
    error = float(np.sqrt((of_class * np.maximum(variance, 0.0)).sum())) / len(labels)
    return ClassMetric(value=value, std_error=error, contributions=contributions)


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
