"""MixUp and CutMix on a whole batch: each image is blended with the one before it in the batch.

MixUp (Zhang et al. 2017, arXiv 1710.09412) keeps the same share of every pixel, CutMix (Yun et al.
2019, arXiv 1905.04899) keeps all pixels outside a box. Both are one weight per pixel, and the label
keeps the mean of the weights.

timm and torchvision draw one share, and one of the two methods, per batch by default. Here each
image has its own (timm calls that ``elem``): the expected loss is the same, and a short run, which
has only a hundred batches, does not depend on a hundred draws.
"""

import numpy as np
import scipy  # It loads a part of it when that is first used.
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.augment.spatial_augment import box_mask
from trainable.losses import one_hot
from trainable.to_device import send

SWITCH_PROBABILITY = 0.5
"""Probability of CutMix for an image if both are on; timm's and torchvision's default."""


def mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Blend images and labels of a shuffled batch.

    Args:
        images: Float, ``[B, C, H, W]``.
        labels: Class indices, ``[B]``.
        num_classes: Columns of the targets.
        mixup_alpha: Both parameters of MixUp's Beta distribution, at least 0; 0 is off.
        cutmix_alpha: The same for CutMix. At least one of the two is on.
        generator: On the CPU.

    Returns:
        Images, and targets ``[B, num_classes]`` whose rows sum to 1.
    """
    height, width = images.shape[-2:]
    share, boxes = draw_mix(
        len(images),
        height,
        width,
        mixup_alpha=mixup_alpha,
        cutmix_alpha=cutmix_alpha,
        generator=generator,
    )
    label_share = share * (1 - boxes[:, 2] * boxes[:, 3] / (height * width))
    shares = send(torch.stack([share, label_share]), images.device)

    outside = ~box_mask(boxes, height, width, images.device)
    mixed = torch.lerp(images.roll(1, 0), images, shares[0].view(-1, 1, 1, 1) * outside)
    targets = one_hot(labels, num_classes)
    return mixed, torch.lerp(targets.roll(1, 0), targets, shares[1].view(-1, 1))


def draw_mix(
    num: int,
    height: int,
    width: int,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw the share of each image that is kept, and the box that is replaced.

    Returns:
        The share ``[B]`` of every pixel outside the box, and the boxes ``[B, 4]`` (top, left,
        height, width) inside of which nothing is kept. A MixUp image has a box without area, a
        CutMix image the share 1.
    """
    if mixup_alpha > 0 and cutmix_alpha > 0:
        cut = torch.rand(num, generator=generator).numpy() < SWITCH_PROBABILITY
    else:
        cut = np.full(num, cutmix_alpha > 0)
    alpha = np.where(cut, np.float32(cutmix_alpha), np.float32(mixup_alpha))
    kept = _draw_beta(alpha, generator)

    # The box has the image's aspect ratio and 1 - kept of its area, until the border clips it.
    sides = np.array([height, width])
    half = np.floor(np.sqrt(1 - kept)[:, None] * sides / 2)
    centre = np.floor(torch.rand(num, 2, generator=generator).numpy() * sides.astype(np.float32))
    start = np.maximum(centre - half, 0)
    extent = np.minimum(centre + half, sides) - start
    boxes = np.concatenate([start, extent], axis=1).astype(np.int64) * cut[:, None]
    share = np.where(cut, 1.0, kept).astype(np.float32)
    return torch.from_numpy(share), torch.from_numpy(boxes)


def _draw_beta(alpha: NDArray[np.float32], generator: torch.Generator) -> NDArray[np.float64]:
    """Draw from ``Beta(alpha, alpha)`` for each alpha, by inverting its distribution function.

    `torch.distributions` can only use the global generator.
    """
    uniform = torch.rand(len(alpha), generator=generator, dtype=torch.float64).numpy()
    a = alpha.astype(np.float64)
    return np.asarray(scipy.special.betaincinv(a, a, uniform))
