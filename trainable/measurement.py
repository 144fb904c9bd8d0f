"""Evaluation of a run's model on clean images, with raw weights and with every average."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.augment.batch_augment import Normalizer
from trainable.calibration import NonFiniteError
from trainable.data.device_images import DeviceImages
from trainable.data.splits import Split
from trainable.ema import OWN, EmaBank
from trainable.evaluation import (
    class_metrics,
    full_metrics,
    per_class_accuracy,
    predict,
    quick_metrics,
)
from trainable.precision import Diverged, Precision

EVAL_BATCH_SIZE = 128
"""Images per forward pass of an evaluation; measured fastest per image on a CPU at 32 px."""
RAW = "raw"
"""Name of the raw weights."""
CLEAN_TRAIN = "clean_train"
"""Name of the clean slice of the training images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResults:
    """Results for each image.

    Attributes:
        label: Index of the true class.
        predicted: Index of the class with the largest output.
        nll: Log-loss in nats.
    """

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    nll: NDArray[np.float32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the top-1 prediction is right."""
        return np.asarray(self.predicted == self.label)

    def contributions(self) -> dict[str, NDArray[np.float64]]:
        """Compute what each image contributes to each metric that counts classes equally."""
        num_classes = 1 + int(max(self.label.max(), self.predicted.max()))
        found = class_metrics(self.label, self.predicted, num_classes)
        return {name: metric.contributions for name, metric in found.items()}


def image_results(logits: Tensor, labels: Tensor) -> ImageResults:
    """Return the results for each image from logits ``[N, K]`` and class indices ``[N]``."""
    return ImageResults(
        label=labels.numpy(),
        predicted=logits.argmax(dim=1).numpy(),
        nll=F.cross_entropy(logits, labels, reduction="none").numpy(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Results of one evaluation.

    Attributes:
        metrics: By reported name, such as ``val/top1``.
        shipped: Results for each image with the weights that ship, by part of the split.
        raw: The same with the raw weights.
        num_images: Number of images that went through the model, once for each set of weights.
    """

    metrics: dict[str, float]
    shipped: dict[str, ImageResults]
    raw: dict[str, ImageResults]
    num_images: int


class Measurement:
    """Evaluation of a run on parts of its split and on a clean slice of its training images.

    Args:
        model: The live model, holding the raw weights whenever this is asked.
        ema: Its averages.
        precision: What it computes in, and how many steps it has taken.
        images: All images, on the device of the model.
        labels: Of all images, on the CPU.
        split: Which of them are which part.
        normalize: Turns them into the model's input.
        seed: Chooses the clean slice.
    """

    def __init__(
        self,
        model: nn.Module,
        ema: EmaBank,
        precision: Precision,
        *,
        images: DeviceImages,
        labels: Tensor,
        split: Split,
        normalize: Normalizer,
        seed: int,
    ) -> None:
        self._model = model
        self._ema = ema
        self._precision = precision
        self._images = images
        self._labels = labels
        self._split = split
        self._normalize = normalize
        self._clean_train = _clean_slice(split, seed=seed)

    def measure(self, parts: Sequence[str], *, in_full: bool) -> Measured:
        """Evaluate the raw weights, the recipe's own average and every level.

        The clean slice of the training images tells how well a recipe fits, which is asked of the
        weights that ship and of the levels: raw weights beside an average are not evaluated on it.

        Args:
            parts: Of the split, beside the clean slice of the training images.
            in_full: Whether to compute `full_metrics` and not `quick_metrics`.

        Raises:
            Diverged: If the model's output is not finite.
        """
        metrics: dict[str, float] = {}
        # Every image goes through the same weights once, whatever is asked of its logits.
        found: dict[tuple[float, str], tuple[dict[str, float], ImageResults]] = {}
        decays = {RAW: 0.0, **self._ema.decays}
        for name, decay in decays.items():
            for part in (*parts, *([] if name == RAW else [CLEAN_TRAIN])):
                if (decay, part) not in found:
                    found[decay, part] = self._measure(name, part, in_full=in_full)
                values, _ = found[decay, part]
                for suffix in _suffixes(name, own_decay=decays[OWN]):
                    metrics |= {f"{part}{suffix}/{key}": value for key, value in values.items()}
        return Measured(
            metrics=metrics,
            shipped={part: found[decays[OWN], part][1] for part in parts},
            raw={part: found[decays[RAW], part][1] for part in parts},
            num_images=sum(len(self._indices(part)) for _, part in found),
        )

    def by_class(self, part: str, name: str) -> list[float]:
        """Compute the accuracy per class on a part of the split, NaN for a class without images."""
        indices = self._indices(part)
        return per_class_accuracy(self._logits(name, indices), self._labels[indices])

    def labels_of(self, part: str) -> Tensor:
        """Return the class indices of a part of the split, on the CPU."""
        return self._labels[self._indices(part)]

    def outputs_of(self, model: nn.Module, part: str) -> Tensor:
        """Compute what ``model`` returns for the images of a part of the split, on the CPU."""
        return self._outputs(model, self._indices(part))

    def clean_batches(self) -> Iterator[Tensor]:
        """Yield the clean slice of the training images in normalized batches."""
        for start in range(0, len(self._clean_train), EVAL_BATCH_SIZE):
            indices = self._clean_train[start : start + EVAL_BATCH_SIZE]
            yield self._normalize(self._images[indices])

    def _indices(self, part: str) -> NDArray[np.int64]:
        if part == CLEAN_TRAIN:
            return self._clean_train
        indices: NDArray[np.int64] = getattr(self._split, part)
        return indices

    def _measure(
        self, name: str, part: str, *, in_full: bool
    ) -> tuple[dict[str, float], ImageResults]:
        metrics_of = full_metrics if in_full else quick_metrics
        indices = self._indices(part)
        logits, labels = self._logits(name, indices), self._labels[indices]
        try:
            # With errors where a decision must know how far it may trust a gain.
            metrics = metrics_of(logits, labels, with_errors=part != CLEAN_TRAIN)
        except NonFiniteError as error:
            raise Diverged(self._precision.num_steps, str(error)) from error
        return metrics, image_results(logits, labels)

    def _logits(self, name: str, indices: NDArray[np.int64]) -> Tensor:
        weights = nullcontext() if name == RAW else self._ema.averaged(name)
        with weights:
            return self._outputs(self._model, indices)

    def _outputs(self, model: nn.Module, indices: NDArray[np.int64]) -> Tensor:
        with self._precision.autocast():
            return predict(
                model,
                self._images,
                indices,
                batch_size=EVAL_BATCH_SIZE,
                device=self._normalize.device,
                normalize=self._normalize,
            )


def _suffixes(name: str, *, own_decay: float) -> tuple[str, ...]:
    """Return the suffixes of the part's name under which these weights are reported."""
    if name == RAW:
        return ("_raw",)
    if name == OWN:
        return ("", "_ema") if own_decay > 0 else ("",)
    return (f".{name}",)


def _clean_slice(split: Split, *, seed: int) -> NDArray[np.int64]:
    """Draw the training images on which the fit is measured: at most as many as validation has."""
    size = min(len(split.train), len(split.val))
    chosen = np.random.default_rng((seed, len(split.train))).choice(
        split.train, size=size, replace=False
    )
    return np.sort(chosen)
