"""Results of an evaluation for each image, from which paired comparisons are made."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainable.evaluation import class_metrics


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
