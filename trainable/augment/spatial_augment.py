"""Flip, random resized crop and random erasing on a whole batch, drawn for each image.

Boxes are drawn on the CPU as integers ``[B, 4]`` of top, left, height and width, and applied where
the images are. Drawing follows torchvision's transforms of the same name: at most ten attempts, the
first box that fits inside the image counts. Its arithmetic is NumPy's, whose calls on a few dozen
numbers take a third of the time of torch's.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainable.to_device import send

CROP_RATIO = (3 / 4, 4 / 3)
"""Width by height of a crop, both ends included, log-uniform (Szegedy et al. 2014)."""
ERASED_SHARE = (0.02, 0.33)
"""Area of an erased box by the area of the image (Zhong et al. 2017, arXiv 1708.04896)."""
ERASED_RATIO = (0.3, 3.3)
"""Height by width of an erased box, log-uniform."""

_ATTEMPTS = 10
_Floats = NDArray[np.float32]


def draw_flips(num: int, *, probability: float, generator: torch.Generator) -> Tensor:
    """Draw which of ``num`` images are mirrored, bool ``[num]`` on the CPU."""
    return torch.rand(num, generator=generator) < probability


def random_flip(images: Tensor, *, probability: float, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with ``probability``."""
    flipped = draw_flips(len(images), probability=probability, generator=generator)
    return torch.where(send(flipped, images.device).view(-1, 1, 1, 1), images.flip(3), images)


def draw_crops(
    num: int, height: int, width: int, *, scale_min: float, generator: torch.Generator
) -> Tensor:
    """Draw the boxes of random resized crops; the whole image where no attempt fits.

    Args:
        num: Number of boxes.
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        scale_min: Smallest area of a crop by the area of the image, in ``(0, 1]``.
        generator: On the CPU.
    """
    heights, widths = _draw_sides(num, height * width, (scale_min, 1.0), CROP_RATIO, generator)
    heights, widths = np.maximum(heights, 1), np.maximum(widths, 1)
    fits = (heights <= height) & (widths <= width)
    box_height, box_width, found = _first_that_fits(heights, widths, fits)
    box_height[~found] = height
    box_width[~found] = width
    return _place(box_height, box_width, height, width, generator)


def crop_and_resize(images: Tensor, boxes: Tensor, flipped: Tensor | None = None) -> Tensor:
    """Enlarge each image's box to the size of the image, bilinear, and mirror some of them.

    Nothing outside the box is seen, not even by the interpolation at its border, so this equals
    torchvision's ``resized_crop``; a box is never larger than the result, so no antialiasing.

    Args:
        images: Float, ``[B, C, H, W]``.
        boxes: As `draw_crops` returns them, on the CPU.
        flipped: As `draw_flips` returns it: a mirrored image is read from right to left.
    """
    height, width = images.shape[-2:]
    top, left, box_height, box_width = boxes.numpy().astype(np.float32).T
    rows = _source(top, box_height, height)
    columns = _source(left, box_width, width)
    if flipped is not None:
        columns = np.where(flipped.numpy()[:, None], columns[:, ::-1], columns)
    places = send(torch.from_numpy(np.concatenate([rows, columns], axis=1)), images.device)
    grid = places.new_empty(len(images), height, width, 2)
    grid[..., 0] = places[:, None, height:]
    grid[..., 1] = places[:, :height, None]
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def draw_erased(
    num: int, height: int, width: int, *, probability: float, generator: torch.Generator
) -> Tensor:
    """Draw the boxes of random erasing, with area 0 for images that are not erased.

    Args:
        num: Number of boxes.
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        probability: Probability that a box of an image is erased, in ``[0, 1]``.
        generator: On the CPU.
    """
    widths, heights = _draw_sides(num, height * width, ERASED_SHARE, ERASED_RATIO, generator)
    fits = (heights < height) & (widths < width)
    box_height, box_width, found = _first_that_fits(heights, widths, fits)
    erased = found & (torch.rand(num, generator=generator).numpy() < probability)
    return _place(box_height * erased, box_width * erased, height, width, generator)


def box_mask(boxes: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """Make the mask of the pixels inside each image's box, bool ``[B, 1, H, W]`` on ``device``."""
    top, left, box_height, box_width = boxes.numpy()[:, :, None].transpose(1, 0, 2)
    rows, columns = np.arange(height), np.arange(width)
    in_rows = (rows >= top) & (rows < top + box_height)
    in_columns = (columns >= left) & (columns < left + box_width)
    sides = send(torch.from_numpy(np.concatenate([in_rows, in_columns], axis=1)), device)
    return sides[:, None, :height, None] & sides[:, None, None, height:]


def _draw_sides(
    num: int,
    area: int,
    share: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[_Floats, _Floats]:
    """Draw the sides of boxes in whole pixels, each ``[attempts, num]``; ratio = second / first.

    In torch: NumPy's roots and exponentials may differ in the last bit, and then a box by a pixel.
    """
    shares, ratios = torch.rand(2, _ATTEMPTS, num, generator=generator)
    areas = shares.mul_(share[1] - share[0]).add_(share[0]).mul_(area)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios.mul_(high - low).add_(low).exp_()
    first, second = torch.stack([areas / ratios, areas * ratios]).sqrt_().round_().numpy()
    return first, second


def _first_that_fits(
    heights: _Floats, widths: _Floats, fits: NDArray[np.bool_]
) -> tuple[_Floats, _Floats, NDArray[np.bool_]]:
    """Select the first fitting attempt of each image, and return whether there is one."""
    first = fits.argmax(axis=0), np.arange(fits.shape[1])  # The first of equal maxima.
    return heights[first], widths[first], fits[first]


def _place(
    box_height: _Floats, box_width: _Floats, height: int, width: int, generator: torch.Generator
) -> Tensor:
    """Put each box anywhere inside the image, all places equally likely."""
    uniform = torch.rand(2, len(box_height), generator=generator).numpy()
    top = np.floor(uniform[0] * (height - box_height + 1))
    left = np.floor(uniform[1] * (width - box_width + 1))
    return torch.from_numpy(np.stack([top, left, box_height, box_width], axis=1).astype(np.int64))


def _source(start: _Floats, length: _Floats, size: int) -> _Floats:
    """Compute the sampling positions on one axis, in half sides from the centre."""
    length = length[:, None]
    within = (np.arange(size, dtype=np.float32) + 0.5) * length / size - 0.5
    pixel = start[:, None] + np.clip(within, 0, length - 1)
    return np.asarray((2 * pixel + 1) / size - 1)
