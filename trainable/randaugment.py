"""RandAugment on a whole batch, with operations and signs drawn for each image.

Operations and magnitudes are those of `torchvision.transforms.v2.RandAugment`, bilinear as in
torchvision's reference script. That class draws one operation for everything it is given, from the
global generator; here the images of a batch are grouped by operation and each group is transformed
at once. The kernels are torchvision's wherever all images of a group share the parameter.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from trainable.to_device import send

MAX_MAGNITUDE = 30
GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


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
    """Apply to each image its own operation.

    Args:
        images: Float in ``[0, 1]``, ``[B, 3, H, W]``.
        ops: ``B`` members of `OPS`.
        signs: -1 or 1, ``[B]``, on the CPU; an operation without direction ignores it.
        magnitude: In ``[0, 30]``, the same for all.
    """
    strengths = signs * (magnitude / MAX_MAGNITUDE)
    result = images.clone()
    for names, kernel in _KERNELS:
        rows = [row for row, op in enumerate(ops) if op in names]
        if rows:
            index = send(torch.tensor(rows), images.device)
            group = images.index_select(0, index)
            changed = kernel(group, strengths[rows], [ops[row] for row in rows])
            result.index_copy_(0, index, changed)
    return result


# Each kernel takes its group of images, for each the share of the largest magnitude with the sign,
# in [-1, 1] and on the CPU, and for each the name of the operation.


def _geometric(images: Tensor, strengths: Tensor, ops: Sequence[str]) -> Tensor:
    """Shear about the upper left corner, shift by whole pixels, or turn about the centre.

    One resampling serves all five operations, since each is one matrix per image.
    """
    height, width = images.shape[-2:]
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

    x = torch.arange(width, device=images.device) + (1 - width) / 2
    y = torch.arange(height, device=images.device) + (1 - height) / 2
    ones = torch.ones(height, width, device=images.device)
    pixels = torch.stack([x * ones, y[:, None] * ones, ones], dim=2).view(1, -1, 3)
    grid = (pixels @ send(matrix, images.device)).view(-1, height, width, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _blend(images: Tensor, degenerate: Tensor, strengths: Tensor) -> Tensor:
    """Move away from a degenerate image (positive strength) or towards it (negative)."""
    factor = send(1 + 0.9 * strengths, images.device).view(-1, 1, 1, 1)
    return torch.lerp(degenerate, images, factor).clamp_(0, 1)


def _brightness(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    return _blend(images, images.new_zeros(()), strengths)


def _color(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    return _blend(images, TF.rgb_to_grayscale(images), strengths)


def _contrast(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    brightness = TF.rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, brightness, strengths)


def _sharpness(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    # The blur weighs a pixel 5/13 and each of its eight neighbours 1/13. Sums of shifted views take
    # a third of the time of a pooling on a CPU.
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    squares = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = images[..., 1:-1, 1:-1]
    blurred = (squares + 4 * inner) / 13
    result = images.clone()  # The outermost pixels lack neighbours and stay as they are.
    result[..., 1:-1, 1:-1] = _blend(inner, blurred, strengths)
    return result


def _posterize(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    bits = 8 - round(4 * float(strengths[0].abs()))
    # With all eight bits bytes stay as they are, but torchvision would round floats down.
    posterized: Tensor = TF.posterize(images, bits) if bits < 8 else images
    return posterized


def _solarize(images: Tensor, strengths: Tensor, _: Sequence[str]) -> Tensor:
    solarized: Tensor = TF.solarize(images, 1 - float(strengths[0].abs()))
    return solarized


def _autocontrast(images: Tensor, _: Tensor, __: Sequence[str]) -> Tensor:
    stretched: Tensor = TF.autocontrast(images)
    return stretched


def _equalize(images: Tensor, _: Tensor, __: Sequence[str]) -> Tensor:
    equalized: Tensor = TF.equalize(images)
    return equalized


_KERNELS: tuple[tuple[tuple[str, ...], Callable[[Tensor, Tensor, Sequence[str]], Tensor]], ...] = (
    (GEOMETRIC, _geometric),
    (("Brightness",), _brightness),
    (("Color",), _color),
    (("Contrast",), _contrast),
    (("Sharpness",), _sharpness),
    (("Posterize",), _posterize),
    (("Solarize",), _solarize),
    (("AutoContrast",), _autocontrast),
    (("Equalize",), _equalize),
)

OPS = ("Identity", *(name for names, _ in _KERNELS for name in names))
"""All operations, in torchvision's order."""
