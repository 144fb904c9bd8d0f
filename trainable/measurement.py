"""Evaluation of a run's model on clean images, with raw weights and with every average."""

from collections.abc import Iterator, Mapping, Sequence
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResults:
    """Results for each image.

    Attributes:
        correct: Whether the top-1 prediction is right.
        nll: Log-loss in nats.
    """

    correct: NDArray[np.bool_]
    nll: NDArray[np.float32]


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

    def metrics(self, parts: Sequence[str], *, in_full: bool) -> dict[str, float]:
        """Compute metrics of the raw weights, the recipe's own average and every level.

        Args:
            parts: Of the split, beside the clean slice of the training images.
            in_full: Whether to compute `full_metrics` and not `quick_metrics`.

        Raises:
            Diverged: If the model's output is not finite.
        """
        images = {part: self._indices(part) for part in parts} | {"clean_train": self._clean_train}
        metrics: dict[str, float] = {}
        by_decay: dict[float, dict[str, dict[str, float]]] = {}
        for name, decay in {RAW: 0.0, **self._ema.decays}.items():
            if decay not in by_decay:
                by_decay[decay] = self._measure(name, images, in_full=in_full)
            for part, values in by_decay[decay].items():
                for suffix in _suffixes(name, own_decay=self._ema.decays[OWN]):
                    metrics |= {f"{part}{suffix}/{key}": value for key, value in values.items()}
        return metrics

    def by_image(self, part: str, *, raw: bool = False) -> ImageResults:
        """Evaluate the shipped weights on each image of a part of the split, in its order.

        Args:
            part: Of the split.
            raw: Whether to evaluate the raw weights instead.
        """
        indices = self._indices(part)
        logits, labels = self._logits(RAW if raw else OWN, indices), self._labels[indices]
        return ImageResults(
            correct=(logits.argmax(dim=1) == labels).numpy(),
            nll=F.cross_entropy(logits, labels, reduction="none").numpy(),
        )

    def by_class(self, part: str, name: str) -> list[float]:
        """Compute the accuracy per class on a part of the split, NaN for a class without images."""
        indices = self._indices(part)
        return per_class_accuracy(self._logits(name, indices), self._labels[indices])

    def clean_batches(self) -> Iterator[Tensor]:
        """Yield the clean slice of the training images in normalized batches."""
        for start in range(0, len(self._clean_train), EVAL_BATCH_SIZE):
            indices = self._clean_train[start : start + EVAL_BATCH_SIZE]
            yield self._normalize(self._images[indices])

    def _indices(self, part: str) -> NDArray[np.int64]:
        indices: NDArray[np.int64] = getattr(self._split, part)
        return indices

    def _measure(
        self, name: str, parts: Mapping[str, NDArray[np.int64]], *, in_full: bool
    ) -> dict[str, dict[str, float]]:
        metrics_of = full_metrics if in_full else quick_metrics
        try:
            measured = {}
            for part, indices in parts.items():
                logits, labels = self._logits(name, indices), self._labels[indices]
                # With errors where a search must know how far it may trust a gain.
                measured[part] = metrics_of(logits, labels, with_errors=part == "val")
            return measured
        except NonFiniteError as error:
            raise Diverged(self._precision.num_steps, str(error)) from error

    def _logits(self, name: str, indices: NDArray[np.int64]) -> Tensor:
        weights = nullcontext() if name == RAW else self._ema.averaged(name)
        with weights, self._precision.autocast():
            return predict(
                self._model,
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
