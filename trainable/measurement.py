"""Evaluation of a run's model on clean images, with raw weights and with every average."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trainable.augment.batch_augment import Normalizer
from trainable.batch_norm import measured_statistics, refresh_batch_norm
from trainable.calibration import NonFiniteError
from trainable.data.device_images import DeviceImages
from trainable.data.splits import Split
from trainable.ema import OWN, EmaBank
from trainable.evaluation import per_class_accuracy, predict
from trainable.measuring.class_prior import adjusted
from trainable.measuring.image_results import ImageResults
from trainable.measuring.measured_with import MeasuredWith
from trainable.measuring.of_weights import OfWeights, judged
from trainable.precision import Diverged, Precision

EVAL_BATCH_SIZE = 128
"""Images per forward pass of an evaluation; measured fastest per image on a CPU at 32 px."""
RAW = "raw"
"""Name of the raw weights."""
CLEAN_TRAIN = "clean_train"
"""Name of the clean slice of the training images."""
MOST_FOR_STATISTICS = 1024
"""Largest number of training images on which an average's BatchNorm statistics are measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Results of one evaluation.

    Attributes:
        metrics: By reported name, such as ``val/top1``.
        shipped: Results for each image with the weights that ship, by part of the split.
        raw: The same with the raw weights.
        logits: Outputs with the weights that ship, adjusted as they ship, by part of the split.
        num_images: Number of images that went through the model: once for each set of weights, and
            those that statistics were measured on.
    """

    metrics: dict[str, float]
    shipped: dict[str, ImageResults]
    raw: dict[str, ImageResults]
    logits: dict[str, Tensor]
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
        how: Settings with which the recipe's weights are measured.
        within_levels: Other settings, by the name under which their results are reported,
            ``<average>.<factor>``; that average is measured once more with each, on validation
            images after the last epoch.
        log_prior: Logarithm of each class's share of the training images, ``[K]``.
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
        how: MeasuredWith,
        within_levels: Mapping[str, MeasuredWith],
        log_prior: Tensor,
    ) -> None:
        self._model = model
        self._ema = ema
        self._precision = precision
        self._images = images
        self._labels = labels
        self._split = split
        self._normalize = normalize
        self._how = how
        self._within_levels = dict(within_levels)
        self._log_prior = log_prior
        self._clean_train = _clean_slice(split, seed=seed)
        self._for_statistics = _drawn(split.train, MOST_FOR_STATISTICS, seed=seed)

    def measure(self, parts: Sequence[str], *, in_full: bool) -> Measured:
        """Evaluate the raw weights, the recipe's own average and every level.

        The clean slice of the training images tells how well a recipe fits, which is asked of the
        weights that ship and of the levels: raw weights beside an average are not evaluated on it.

        Args:
            parts: Of the split, beside the clean slice of the training images.
            in_full: Whether training has ended: then `full_metrics` are computed and not
                `quick_metrics`, ``within_levels`` are measured too, and statistics that were
                measured for the recipe's own average stay in it.

        Raises:
            Diverged: If the model's output is not finite.
        """
        metrics: dict[str, float] = {}
        num_images = 0
        # Every image goes through the same weights once, whatever is asked of its logits.
        outputs: dict[tuple[float, str], Tensor] = {}
        found: dict[tuple[float, str], OfWeights] = {}
        decays = {RAW: 0.0, **self._ema.decays}
        for name, decay in decays.items():
            asked = (*parts, *([] if name == RAW else [CLEAN_TRAIN]))
            missing = [part for part in asked if (decay, part) not in found]
            num_images += self._num_passed(name, missing, self._how)
            passed = self._outputs_with(name, missing, self._how, keep=in_full and name == OWN)
            for part, logits in passed.items():
                outputs[decay, part] = logits
                found[decay, part] = self._judged(part, logits, self._how, in_full=in_full)
            for part in asked:
                values = found[decay, part].metrics
                for suffix in _suffixes(name, own_decay=decays[OWN]):
                    metrics |= {f"{part}{suffix}/{key}": value for key, value in values.items()}
        for level, how in self._within_levels.items() if in_full else ():
            name = level.partition(".")[0]
            if "val" in parts and how.has_own_statistics == self._how.has_own_statistics:
                logits = outputs[decays[name], "val"]
            else:
                num_images += self._num_passed(name, ["val"], how)
                logits = self._outputs_with(name, ["val"], how)["val"]
            values = self._judged("val", logits, how, in_full=False).metrics
            metrics |= {f"val.{level}/{key}": value for key, value in values.items()}
        return Measured(
            metrics=metrics,
            shipped={part: found[decays[OWN], part].images for part in parts},
            raw={part: found[decays[RAW], part].images for part in parts},
            logits={part: found[decays[OWN], part].logits for part in parts},
            num_images=num_images,
        )

    def by_class(self, part: str, name: str) -> list[float]:
        """Compute the accuracy per class on a part of the split, NaN for a class without images."""
        indices = self._indices(part)
        with self._weights(name, self._how):
            logits = self._adjusted(self._outputs(self._model, indices), self._how)
        return per_class_accuracy(logits, self._labels[indices])

    def labels_of(self, part: str) -> Tensor:
        """Return the class indices of a part of the split, on the CPU."""
        return self._labels[self._indices(part)]

    def outputs_of(self, model: nn.Module, part: str) -> Tensor:
        """Compute what ``model`` returns for the images of a part of the split, on the CPU."""
        return self._outputs(model, self._indices(part))

    def mirrored_outputs(self, part: str) -> Tensor:
        """Compute what the model returns for mirrored images, with the weights that ship.

        To be asked after `measure` at the end of training, which leaves the statistics of an
        average as they ship.
        """

        def mirrored(images: Any) -> Tensor:
            return self._normalize(images).flip(3)

        with self._ema.averaged(OWN):
            logits = self._outputs(self._model, self._indices(part), normalize=mirrored)
        return self._adjusted(logits, self._how)

    def refresh_statistics(self, model: nn.Module) -> None:
        """Measure BatchNorm's statistics of ``model`` as those of an average are measured."""
        with self._precision.autocast():
            refresh_batch_norm(model, self._batches_for_statistics())

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

    def _outputs_with(
        self, name: str, parts: Sequence[str], how: MeasuredWith, *, keep: bool = False
    ) -> dict[str, Tensor]:
        """Compute what the weights of `_weights` return for some parts, not adjusted."""
        if not parts:
            return {}
        with self._weights(name, how, keep=keep):
            return {part: self._outputs(self._model, self._indices(part)) for part in parts}

    def _judged(self, part: str, outputs: Tensor, how: MeasuredWith, *, in_full: bool) -> OfWeights:
        """Compute what the outputs for a part are worth, adjusted as they are to be."""
        try:
            return judged(
                self._adjusted(outputs, how),
                self._labels[self._indices(part)],
                in_full=in_full,
                # With errors where a decision must know how far it may trust a gain.
                with_errors=part != CLEAN_TRAIN,
            )
        except NonFiniteError as error:
            raise Diverged(self._precision.num_steps, str(error)) from error

    def _adjusted(self, outputs: Tensor, how: MeasuredWith) -> Tensor:
        return adjusted(outputs, how.logit_adjustment, self._log_prior)

    def _num_passed(self, name: str, parts: Sequence[str], how: MeasuredWith) -> int:
        """Count the images that an evaluation of one set of weights passes through the model."""
        measures = parts and how.has_own_statistics and self._is_average(name)
        statistics = len(self._for_statistics) if measures else 0
        return statistics + sum(len(self._indices(part)) for part in parts)

    def _is_average(self, name: str) -> bool:
        return name != RAW and self._ema.decays[name] > 0.0

    @contextmanager
    def _weights(self, name: str, how: MeasuredWith, *, keep: bool = False) -> Iterator[None]:
        """Put weights into the model inside the ``with``, and the raw ones back.

        Args:
            name: Of an average, or `RAW`.
            how: Whether BatchNorm's statistics of an average are measured anew.
            keep: Whether statistics that are measured stay in the average.
        """
        if not self._is_average(name):
            yield
            return
        with self._ema.averaged(name):
            if not how.has_own_statistics:
                yield
                return
            with (
                self._precision.autocast(),
                measured_statistics(self._model, self._batches_for_statistics(), keep=keep),
            ):
                yield

    def _batches_for_statistics(self) -> Iterator[Tensor]:
        """Yield training images without augmentation in normalized batches of nearly equal size.

        Each batch counts the same, and one of a single image may have no variance.
        """
        num_batches = -(-len(self._for_statistics) // EVAL_BATCH_SIZE)
        for indices in np.array_split(self._for_statistics, num_batches):
            yield self._normalize(self._images[indices])

    def _outputs(
        self,
        model: nn.Module,
        indices: NDArray[np.int64],
        *,
        normalize: Callable[[Any], Tensor] | None = None,
    ) -> Tensor:
        with self._precision.autocast():
            return predict(
                model,
                self._images,
                indices,
                batch_size=EVAL_BATCH_SIZE,
                device=self._normalize.device,
                normalize=normalize or self._normalize,
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
    return _drawn(split.train, len(split.val), seed=seed)


def _drawn(indices: NDArray[np.int64], most: int, *, seed: int) -> NDArray[np.int64]:
    """Draw at most ``most`` of some images, in ascending order."""
    size = min(len(indices), most)
    rng = np.random.default_rng((seed, len(indices)))
    return np.sort(rng.choice(indices, size=size, replace=False))
