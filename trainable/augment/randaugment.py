"""RandAugment on a whole batch, with operations and signs drawn for each image.

Operations and magnitudes are those of `torchvision.transforms.v2.RandAugment`, bilinear as in
torchvision's reference script. That class draws one operation for everything it is given, from the
global generator; here a batch is sorted by operation and each group is transformed at once.

For thirty-two small images the number of calls costs more than the number of pixels. Hence
operations with one formula form a group, and their parameters at one magnitude are a table with an
entry for each variant, a pair of operation and sign.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainable.to_device import send

MAX_MAGNITUDE = 30
GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
BLENDS = ("Brightness", "Color", "Contrast", "Sharpness")
OPS = ("Identity", *GEOMETRIC, *BLENDS, "Posterize", "Solarize", "AutoContrast", "Equalize")
"""All operations, in torchvision's order."""
_PLACES = {op: place for place, op in enumerate(OPS)}


def rand_augment(
    images: Tensor, *, num_ops: int, magnitude: int, generator: torch.Generator
) -> Tensor:
    """Apply ``num_ops`` random operations to each image (Cubuk et al. 2019, arXiv 1909.13719).

    Args:
        images: Float in ``[0, 1]``, ``[B, 3, H, W]``.
        num_ops: Operations one after the other, drawn with replacement.
        magnitude: In ``[0, 30]``, both ends included.
        generator: On the CPU, wherever the images are: nothing waits for the device.

    Returns:
        Images of the same shape; black where an operation looks beyond the border.
    """
    for _ in range(num_ops):
        ops = torch.randint(len(OPS), (len(images),), generator=generator)
        signs = 1 - 2 * torch.randint(2, (len(images),), generator=generator)
        images = apply_ops(images, [OPS[op] for op in ops.tolist()], signs, magnitude)
    return images


def apply_ops(images: Tensor, ops: Sequence[str], signs: Tensor, magnitude: int) -> Tensor:
    """Apply one given operation to each image.

    Args:
        images: Float in ``[0, 1]``, ``[B, 3, H, W]``.
        ops: ``B`` members of `OPS`.
        signs: -1 or 1, ``[B]``, on the CPU; an operation without direction ignores it.
        magnitude: In ``[0, 30]``, the same for all.
    """
    places = np.array([_PLACES[op] for op in ops])
    order = places.argsort(kind="stable")
    variants = 2 * places + (signs.numpy() < 0)
    plan = np.stack([order, order.argsort(), variants[order]])
    sorting, unsorting, variants_there = send(torch.from_numpy(plan), images.device).unbind()
    counts = np.bincount(places, minlength=len(OPS)).tolist()

    result = images.index_select(0, sorting)
    stop = counts[_PLACES["Identity"]]
    for names, kernel in _KERNELS:
        group_counts = [counts[_PLACES[name]] for name in names]
        start, stop = stop, stop + sum(group_counts)
        if start < stop:
            kernel(result[start:stop], variants_there[start:stop], group_counts, magnitude)
    return result.index_select(0, unsorting)


# Each kernel changes its group of images in place. It takes them sorted by operation, for each its
# variant (twice the place in `OPS`, and one more for a negative sign), how many there are of each
# operation of the group, and the magnitude.


def _geometric(images: Tensor, variants: Tensor, _: list[int], magnitude: int) -> None:
    """Shear about the upper left corner, shift by whole pixels, or turn about the centre."""
    height, width = images.shape[-2:]
    grids = _grids(magnitude, height, width, images.device).index_select(0, variants)
    images.copy_(
        F.grid_sample(images, grids, mode="bilinear", padding_mode="zeros", align_corners=False)
    )


def _blend(images: Tensor, variants: Tensor, counts: list[int], magnitude: int) -> None:
    """Move away from a degenerate image (positive sign) or towards it (negative)."""
    degenerate = torch.zeros_like(images)  # Brightness: black.
    _, colors, contrasts, sharp = torch.split(images, counts)
    _, gray, flat, blurred = torch.split(degenerate, counts)
    gray.copy_(_gray(colors))
    flat.copy_(_gray(contrasts).mean(dim=(1, 2, 3), keepdim=True))
    # The blur weighs a pixel 5/13 and each of its eight neighbours 1/13. Sums of shifted views take
    # a third of the time of a pooling on a CPU. The outermost pixels lack neighbours and stay.
    rows = sharp[..., :-2, :] + sharp[..., 1:-1, :]
    rows += sharp[..., 2:, :]
    squares = rows[..., :-2] + rows[..., 1:-1]
    squares += rows[..., 2:]
    blurred.copy_(sharp)
    inner = sharp[..., 1:-1, 1:-1]
    torch.add(squares, inner, alpha=4, out=squares)
    blurred[..., 1:-1, 1:-1] = squares.div_(13)
    factors = _factors(magnitude, images.device).index_select(0, variants).view(-1, 1, 1, 1)
    torch.lerp(degenerate, images, factors, out=images)
    images.clamp_(0, 1)


def _posterize(images: Tensor, _: Tensor, __: list[int], magnitude: int) -> None:
    bits = 8 - round(4 * magnitude / MAX_MAGNITUDE)
    if bits < 8:  # With all eight bits bytes stay as they are, and so do floats.
        levels = 2**bits
        images.mul_(levels).floor_().clamp_(0, levels - 1).div_(levels)


def _solarize(images: Tensor, _: Tensor, __: list[int], magnitude: int) -> None:
    threshold = float(1 - np.float32(magnitude / MAX_MAGNITUDE))
    torch.where(images >= threshold, 1 - images, images, out=images)


def _autocontrast(images: Tensor, _: Tensor, __: list[int], ___: int) -> None:
    """Stretch each channel over the whole interval; one of a single value stays."""
    low = images.amin(dim=(2, 3), keepdim=True)
    high = images.amax(dim=(2, 3), keepdim=True)
    is_flat = high == low
    span = (high - low).masked_fill_(is_flat, 1)
    images.sub_(low.masked_fill_(is_flat, 0)).div_(span)


def _equalize(images: Tensor, _: Tensor, __: list[int], ___: int) -> None:
    """Make each channel's histogram of bytes as flat as a table of bytes can."""
    levels = images.mul(255.999).long().flatten(2)
    histogram = levels.new_zeros(*levels.shape[:2], 256)
    histogram.scatter_add_(2, levels, torch.ones_like(levels))
    # Pillow's arithmetic: the brightest pixels are left out, and what a level becomes depends on
    # the pixels below it.
    brightest = histogram.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - brightest).div_(255, rounding_mode="floor")
    below = histogram.cumsum(2).sub_(histogram)
    table = below.add_(step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(max=255)
    identity = torch.arange(256, device=images.device)
    table = torch.where(step > 0, table, identity).to(images.dtype).div_(255)
    images.copy_(table.gather(2, levels).view_as(images))


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    return (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)[:, None]


@functools.lru_cache(maxsize=4)
def _grids(magnitude: int, height: int, width: int, device: torch.device) -> Tensor:
    """Make the sampling grid of each variant up to the last geometric one, ``[variants, H, W, 2]``.

    One resampling serves all five operations, since each is one matrix.
    """
    signs = torch.tensor([1.0, -1.0]).repeat(1 + len(GEOMETRIC))
    ops = [op for op in ("Identity", *GEOMETRIC) for _ in range(2)]
    strengths = signs * (magnitude / MAX_MAGNITUDE)
    shear_x, shear_y, shift_x, shift_y, turn = (
        strengths * torch.tensor([op == name for op in ops]) for name in GEOMETRIC
    )
    shear_x, shear_y = 0.3 * shear_x, 0.3 * shear_y
    shift_x = (150 / 331 * width * shift_x).trunc()
    shift_y = (150 / 331 * height * shift_y).trunc()
    cos, sin = torch.deg2rad(30 * turn).cos(), torch.deg2rad(30 * turn).sin()
    # Rows: the x and y at which the source is read. Columns: factors of x, y and 1, in pixels from
    # the centre. Only one of the five numbers differs from zero, so sums compose nothing.
    source_x = torch.stack([cos, shear_x - sin, shear_x * height / 2 - shift_x], dim=1)
    source_y = torch.stack([shear_y + sin, cos, shear_y * width / 2 - shift_y], dim=1)
    # `grid_sample` measures in half sides from the centre.
    matrix = torch.stack([source_x * 2 / width, source_y * 2 / height], dim=2)

    x = torch.arange(width) + (1 - width) / 2
    y = torch.arange(height) + (1 - height) / 2
    ones = torch.ones(height, width)
    pixels = torch.stack([x * ones, y[:, None] * ones, ones], dim=2).view(1, -1, 3)
    return (pixels @ matrix).view(-1, height, width, 2).to(device)


@functools.lru_cache(maxsize=4)
def _factors(magnitude: int, device: torch.device) -> Tensor:
    """Make each variant's blending factor with its degenerate image; 1 is no change."""
    signs = torch.tensor([1.0, -1.0]).repeat(len(OPS))
    return (1 + 0.9 * (signs * (magnitude / MAX_MAGNITUDE))).to(device)


_KERNELS: tuple[tuple[tuple[str, ...], Callable[[Tensor, Tensor, list[int], int], None]], ...] = (
    (GEOMETRIC, _geometric),
    (BLENDS, _blend),
    (("Posterize",), _posterize),
    (("Solarize",), _solarize),
    (("AutoContrast",), _autocontrast),
    (("Equalize",), _equalize),
)
"""Functions of all operations but the identity, in the order of `OPS`."""
