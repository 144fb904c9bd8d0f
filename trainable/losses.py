"""Cross-entropy with label smoothing, for labels and for soft targets."""

import torch
from torch import Tensor

Smoothing = float | Tensor
"""Label smoothing as a number, or as a 0-dim tensor that a compiled step reads at run time."""


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: Smoothing) -> Tensor:
    """Compute the mean cross-entropy in nats against smoothed targets, in float32.

    Torch's convention: mass ``label_smoothing / K`` on every class, the true one included (Szegedy
    et al. 2016, arXiv 1512.00567, section 7). Both kinds of target agree on one-hot rows. A tensor
    for ``label_smoothing`` costs no host synchronization, and a new value in it no recompilation.

    Args:
        logits: Raw scores, batch x K, of any floating dtype.
        targets: int64 labels of shape batch, or probabilities of shape batch x K whose rows sum
            to 1, as MixUp and CutMix make them.
        label_smoothing: Probability mass moved, in ``[0, 1)``. An evaluation passes 0.

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
    return -torch.lerp(on_target, log_probs.mean(dim=-1), label_smoothing).mean()


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Convert labels of shape batch to float32 probabilities of shape batch x ``num_classes``.

    Unlike `torch.nn.functional.one_hot`, it never asks the device whether the labels are in range.
    """
    rows = torch.zeros(*labels.shape, num_classes, device=labels.device)
    return rows.scatter_(-1, labels.unsqueeze(-1), 1.0)
