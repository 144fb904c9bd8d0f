"""Flip, random resized crop and random erasing on a whole batch, drawn for each image.

Boxes are drawn on the CPU as integers ``[B, 4]`` of top, left, height and width, and applied where
the images are. Drawing follows torchvision's transforms of the same name: at most ten attempts, the
first box that fits inside the image counts.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainable.to_device import send

CROP_RATIO = (3 / 4, 4 / 3)
"""Width by height of a crop, both ends included, log-uniform (Szegedy et al. 2014)."""
ERASED_SHARE = (0.02, 0.33)
"""Area of an erased box by the area of the image (Zhong et al. 2017, arXiv 1708.04896)."""
ERASED_RATIO = (0.3, 3.3)
"""Height by width of an erased box, log-uniform."""

_ATTEMPTS = 10


def random_flip(images: Tensor, *, probability: float, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with ``probability``."""
    flipped = torch.rand(len(images), generator=generator) < probability
    return torch.where(_column(flipped, images.device), images.flip(3), images)


def draw_crops(
    num: int, height: int, width: int, *, scale_min: float, generator: torch.Generator
) -> Tensor:
    """Boxes of a random resized crop; the whole image where no attempt fits.

    Args:
        num: How many.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        scale_min: Smallest area of a crop by the area of the image, in ``(0, 1]``.
        generator: On the CPU.
    """
    share, ratio = _draw_shapes(num, (scale_min, 1.0), CROP_RATIO, generator)
    area = height * width
    heights = (area * share / ratio).sqrt().round().clamp(min=1)
    widths = (area * share * ratio).sqrt().round().clamp(min=1)
    fits = (heights <= height) & (widths <= width)
    box_height, box_width, found = _first_that_fits(heights, widths, fits)
    box_height = torch.where(found, box_height, height)
    box_width = torch.where(found, box_width, width)
    return _place(box_height, box_width, height, width, generator)


def crop_and_resize(images: Tensor, boxes: Tensor) -> Tensor:
    """Enlarge each image's box to the size of the image, bilinear.

    Nothing outside the box is seen, not even by the interpolation at its border, so this equals
    torchvision's ``resized_crop``; a box is never larger than the result, so no antialiasing.

    Args:
        images: Float, ``[B, C, H, W]``.
        boxes: As `draw_crops` returns them, on the CPU.
    """
    height, width = images.shape[-2:]
    top, left, box_height, box_width = boxes.unbind(dim=1)
    rows = send(_source(top, box_height, height), images.device)
    columns = send(_source(left, box_width, width), images.device)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=3
    )
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def draw_erased(
    num: int, height: int, width: int, *, probability: float, generator: torch.Generator
) -> Tensor:
    """Boxes of random erasing, without area for the images that are spared.

    Args:
        num: How many.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        probability: That an image loses a box, in ``[0, 1]``.
        generator: On the CPU.
    """
    share, ratio = _draw_shapes(num, ERASED_SHARE, ERASED_RATIO, generator)
    heights = (height * width * share * ratio).sqrt().round()
    widths = (height * width * share / ratio).sqrt().round()
    fits = (heights < height) & (widths < width)
    box_height, box_width, found = _first_that_fits(heights, widths, fits)
    erased = found & (torch.rand(num, generator=generator) < probability)
    return _place(box_height * erased, box_width * erased, height, width, generator)


def box_mask(boxes: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """Which pixels lie inside each image's box, bool ``[B, 1, H, W]`` on ``device``."""
    top, left, box_height, box_width = send(boxes, device)[:, :, None].unbind(dim=1)
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    in_rows = (rows >= top) & (rows < top + box_height)
    in_columns = (columns >= left) & (columns < left + box_width)
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def _draw_shapes(
    num: int, share: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Shares of the area and aspect ratios, each ``[attempts, num]``."""
    uniform = torch.rand(2, _ATTEMPTS, num, generator=generator)
    shares = share[0] + (share[1] - share[0]) * uniform[0]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    return shares, (low + (high - low) * uniform[1]).exp()


def _first_that_fits(
    heights: Tensor, widths: Tensor, fits: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The first fitting attempt of each image, and whether there is one."""
    first = fits.int().argmax(dim=0, keepdim=True)  # The first of equal maxima.
    return heights.gather(0, first)[0], widths.gather(0, first)[0], fits.any(dim=0)


def _place(
    box_height: Tensor, box_width: Tensor, height: int, width: int, generator: torch.Generator
) -> Tensor:
    """Put each box anywhere inside the image, all places equally likely."""
    uniform = torch.rand(2, len(box_height), generator=generator)
    top = (uniform[0] * (height - box_height + 1)).floor()
    left = (uniform[1] * (width - box_width + 1)).floor()
    return torch.stack([top, left, box_height, box_width], dim=1).long()


def _source(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where along one axis each pixel of the result is read, in half sides from the centre."""
    length = length[:, None]
    within = (torch.arange(size) + 0.5) * length / size - 0.5
    pixel = start[:, None] + torch.minimum(within.clamp(min=0), length - 1)
    return (2 * pixel + 1) / size - 1


def _column(values: Tensor, device: torch.device) -> Tensor:
    return send(values, device).view(-1, 1, 1, 1)
