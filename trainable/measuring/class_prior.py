"""Adjustment of logits for how often each class was trained on (Menon et al. 2021)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def log_prior(class_sizes: NDArray[np.int64]) -> Tensor:
    """Compute the logarithm of each class's share of the training images, ``[K]`` in float32.

    Args:
        class_sizes: Training images of each class. A class without any counts as one with a single
            image, so that its logit stays finite.
    """
    sizes = torch.from_numpy(class_sizes).double()
    return (sizes.clamp(min=1.0) / sizes.sum()).log().float()


def adjusted(logits: Tensor, tau: float, prior: Tensor) -> Tensor:
    """Subtract tau times the logarithm of its training share from the logit of each class.

    Args:
        logits: ``[N, K]`` or, for the biases of a classifier's outputs, ``[K]``.
        tau: At least 0; 0 returns the logits themselves.
        prior: From `log_prior`.
    """
    return logits - tau * prior if tau else logits
