"""Cross-entropy with label smoothing and class weights, for labels and for soft targets."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Smoothing = float | Tensor
"""Label smoothing as a number, or as a 0-dim tensor that a compiled step reads at run time."""


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: Smoothing,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Compute the mean cross-entropy in nats against smoothed targets, in float32.

    Torch's convention: mass ``label_smoothing / K`` on every class, the true one included (Szegedy
    et al. 2016, arXiv 1512.00567, section 7). Both kinds of target agree on one-hot rows. A tensor
    for ``label_smoothing`` costs no host synchronization, and a new value in it no recompilation.

    Class weights say how much an image counts, not what it is taught: its whole loss is multiplied
    by the weight of its class before smoothing, or of a mixture by the weights of its classes in
    proportion to their mass. The sum is divided by the number of images. `torch.nn.functional`
    differs in both: it weights the smoothed mass of every class, which moves the target towards
    classes of large weight, and divides by the weights of the batch.

    Args:
        logits: Raw scores, batch x K, of any floating dtype.
        targets: int64 labels of shape batch, or probabilities of shape batch x K whose rows sum
            to 1, as MixUp and CutMix make them.
        label_smoothing: Probability mass moved, in ``[0, 1)``. An evaluation passes 0.
        class_weights: Weight of each class, of shape K in float32; None weighs every image 1, as an
            evaluation does.

    Raises:
        ValueError: If soft targets do not have the shape of the logits.
    """
    # log_softmax in half precision would lose the small probabilities that smoothing asks for.
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    if not targets.is_floating_point():
        on_target = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    elif targets.shape == logits.shape:
        on_target = (targets * log_probs).sum(dim=-1)
    else:  # Broadcasting would give a number here, and a wrong one.
        raise ValueError(
            "Soft targets must have the shape of the logits, "
            f"but got {tuple(targets.shape)} and {tuple(logits.shape)}."
        )
    # mean() over the classes is the uniform target; lerp takes a number and a 0-dim tensor alike.
    smoothed = torch.lerp(on_target, log_probs.mean(dim=-1), label_smoothing)
    if class_weights is None:
        return -smoothed.mean()
    if targets.is_floating_point():
        weights = (targets * class_weights).sum(dim=-1)
    else:
        weights = class_weights[targets]
    return -(weights * smoothed).mean()


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Convert labels of shape batch to float32 probabilities of shape batch x ``num_classes``.

    Unlike `torch.nn.functional.one_hot`, it never asks the device whether the labels are in range.
    """
    rows = torch.zeros(*labels.shape, num_classes, device=labels.device)
    return rows.scatter_(-1, labels.unsqueeze(-1), 1.0)


def class_weights(images: NDArray[np.int64], class_weighting: float) -> NDArray[np.float64]:
    """Compute the class-balanced weight of an image of each class (Cui et al. 2019, equation 2).

    In proportion to ``(1 - beta) / (1 - beta ** n)`` for a class of n images, with a mean of 1 over
    all images, so that neither the scale of the loss nor the best learning rate depends on beta.

    Args:
        images: Training images of each class; a class without any gets a weight of 0.
        class_weighting: Beta, in ``[0, 1]``: 0 gives every image the same weight, 1 every class.
    """
    present = images > 0
    effective = np.ones(len(images))
    if class_weighting == 1:
        effective[present] = images[present]
    elif class_weighting > 0:
        # 1 - beta**n and not the whole effective number: what is constant cancels below.
        effective[present] = -np.expm1(images[present] * math.log(class_weighting))
    weights = np.where(present, 1 / effective, 0.0)
    weights *= images.sum() / (images * weights).sum()
    return weights
