"""The weight gradient of a depthwise convolution, where oneDNN is slow at it.

That gradient is, for each channel and each tap of the kernel, a sum of products of the output's
gradient with the input shifted by the tap. oneDNN 3.13 has a depthwise kernel for it only for
kernels of 3 x 3 on maps at least that large. Everything else goes to the kernel for dense
convolutions, which computes eight or sixteen times what is wanted, or on a CPU without AVX-512 and
on maps smaller than the kernel to one tiny matrix product for each channel and image. Its forward
pass and its gradient of the input are fast everywhere, and stay.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
"""A vertical and a horizontal number."""
NO_BORDER: tuple[Pair, Pair] = ((0, 0), (0, 0))

MOST_PIXEL_PAIRS = 81
"""Pairs of an input and an output pixel up to which multiplying each pair is fastest."""
CHUNK_ELEMENTS = 2**18
"""Elements that are rearranged or multiplied at once, so that they stay in a core's own cache."""


class DepthwiseConv(torch.autograd.Function):
    """``conv2d`` with one kernel per channel; only the gradient of the weight is computed anew."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]  # torch: untyped
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        border: tuple[Pair, Pair] = NO_BORDER,
    ) -> Tensor:
        """Convolve.

        Args:
            ctx: What the backward pass will be given.
            images: ``[N, C, H, W]``.
            weight: ``[C, 1, kernel height, kernel width]``.
            bias: ``[C]`` or None.
            stride: Of the output over the input.
            padding: Rows of zeros above and below, columns left and right.
            border: Rows above and below, and columns left and right, of zeros in the images: what
                they were padded by before. The gradient of the weight may leave them aside.
        """
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding, ctx.border = stride, padding, border
        return F.conv2d(images, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]  # torch: untyped
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of images, weight and bias."""
        images, weight = ctx.saved_tensors
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_images = torch.ops.aten.convolution_backward(
                gradient,
                images,
                weight,
                None,
                ctx.stride,
                ctx.padding,
                (1, 1),
                False,
                (0, 0),
                len(weight),
                (True, False, False),
            )[0]
        if ctx.needs_input_grad[1]:
            kernel = (weight.shape[2], weight.shape[3])
            of_weight = weight_gradient(
                images, gradient, kernel, ctx.stride, ctx.padding, ctx.border
            )
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None, None


def one_pixel_output(images: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair) -> Tensor:
    """A depthwise convolution whose output is a single pixel, as one product with the images.

    The taps beyond the image meet zeros only, so the part of the kernel over the image is enough.

    Args:
        images: ``[N, C, H, W]``, channels last in memory.
        weight: ``[C, 1, kernel height, kernel width]``.
        bias: ``[C]`` or None.
        padding: Rows of zeros above, columns on the left.

    Returns:
        ``[N, C, 1, 1]``.
    """
    (top, left), (height, width) = padding, _sides(images)
    taps = weight.permute(2, 3, 1, 0)[top : top + height, left : left + width, 0].contiguous()
    # Below and on the right an image may reach beyond the taps.
    products = images.permute(0, 2, 3, 1)[:, : len(taps), : taps.shape[1]] * taps
    output = products
    if products.shape[1:3] != (1, 1):
        output = products.sum((1, 2), keepdim=True)
    if bias is not None:
        output = output + bias
    return output.permute(0, 3, 1, 2)


@cache
def is_faster_here(maps: Pair, inner: Pair, outputs: Pair, kernel: Pair, stride: Pair) -> bool:
    """Whether `weight_gradient` takes less time than oneDNN, by the shapes alone.

    ``python -m benchmarks.steps.convolutions depthwise`` measures where the border runs.

    Args:
        maps: Height and width of the input.
        inner: The same without zeros that it was padded by before.
        outputs: Height and width of the output.
        kernel: Of the weight.
        stride: Of the output over the input.
    """
    is_large_kernel = min(kernel) >= 5
    is_small_map = maps[0] < kernel[0] or maps[1] < kernel[1]
    if _num_pixel_pairs(inner, outputs) <= MOST_PIXEL_PAIRS:
        return is_large_kernel or is_small_map
    return is_large_kernel and (stride == (1, 1) or (is_small_map and max(stride) <= 2))


def weight_gradient(
    images: Tensor,
    gradient: Tensor,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    border: tuple[Pair, Pair] = NO_BORDER,
) -> Tensor:
    """Gradient of a loss in the weight of a depthwise convolution.

    Args:
        images: What is convolved, ``[N, C, H, W]``.
        gradient: Of the loss in the result, ``[N, C, H', W']``.
        kernel: Height and width of the weight.
        stride: Of the output over the input.
        padding: Rows of zeros above and below, columns left and right.
        border: Rows above and below, and columns left and right, of zeros in the images.

    Returns:
        ``[C, 1, *kernel]``.
    """
    (top, bottom), (left, right) = border
    height, width = _sides(images)
    inner = images[:, :, top : height - bottom, left : width - right]
    if _num_pixel_pairs(_sides(inner), _sides(gradient)) <= MOST_PIXEL_PAIRS:
        return _by_pixel_pairs(
            inner, gradient, kernel, stride, (padding[0] + top, padding[1] + left)
        )
    return _by_forward_pass(images, gradient, kernel, stride, padding)


def _by_pixel_pairs(
    images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair
) -> Tensor:
    """Multiply every input pixel with every output pixel, then add up the pairs of each tap."""
    num, channels = images.shape[:2]
    taps = _taps_of_pixel_pairs(
        _sides(images), _sides(gradient), kernel, stride, padding, images.dtype
    )
    inputs = images.permute(0, 2, 3, 1).reshape(num, 1, -1, channels)
    outputs = gradient.permute(0, 2, 3, 1).reshape(num, -1, 1, channels)
    at_once = max(1, CHUNK_ELEMENTS // (len(taps) * channels))
    parts = zip(torch.split(inputs, at_once), torch.split(outputs, at_once), strict=True)
    total = _total((of_inputs * of_outputs).sum(0) for of_inputs, of_outputs in parts)
    return torch.mm(total.view(-1, channels).t(), taps).view(channels, 1, *kernel)


@cache
def _taps_of_pixel_pairs(
    maps: Pair, outputs: Pair, kernel: Pair, stride: Pair, padding: Pair, dtype: torch.dtype
) -> Tensor:
    """1 where the tap (column) joins the pair of output and input pixel (row), else 0."""
    out_y, out_x, in_y, in_x = torch.meshgrid(
        *(torch.arange(side) for side in (*outputs, *maps)), indexing="ij"
    )
    tap_y = in_y - stride[0] * out_y + padding[0]
    tap_x = in_x - stride[1] * out_x + padding[1]
    is_joined = (tap_y >= 0) & (tap_y < kernel[0]) & (tap_x >= 0) & (tap_x < kernel[1])
    place = torch.where(is_joined, tap_y * kernel[1] + tap_x, -1).flatten()
    return (place[:, None] == torch.arange(kernel[0] * kernel[1])).to(dtype)


def _by_forward_pass(
    images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair
) -> Tensor:
    """Convolve the input with the output's gradient as the kernel, every image's on its own.

    Images and channels of the batch become the channels of one single image, for which oneDNN has a
    fast forward pass whatever the size of the kernel. Neighbours in the output's gradient meet
    pixels of the input that are a stride apart: it is dilated by the stride.
    """
    # Where the kernel would lie beside the image altogether, oneDNN takes a slow way.
    beyond = [
        max(0, pad - step * (side - 1))
        for pad, step, side in zip(padding, stride, _sides(gradient), strict=True)
    ]
    if any(beyond):
        images = F.pad(images, (beyond[1], beyond[1], beyond[0], beyond[0]))
    channels = images.shape[1]

    def convolved(inputs: Tensor, outputs: Tensor) -> Tensor:
        taps = F.conv2d(
            inputs.reshape(1, -1, *_sides(images)),
            outputs.reshape(-1, 1, *_sides(gradient)),
            padding=(padding[0] - beyond[0], padding[1] - beyond[1]),
            dilation=stride,
            groups=len(inputs) * channels,
        )
        # Rows and columns that a stride leaves aside at the end would be further taps.
        taps = taps[:, :, : kernel[0], : kernel[1]]
        return taps.reshape(len(inputs), channels, 1, *kernel).sum(0)

    at_once = max(1, CHUNK_ELEMENTS // images[0].numel())
    parts = zip(torch.split(images, at_once), torch.split(gradient, at_once), strict=True)
    return _total(convolved(inputs, outputs) for inputs, outputs in parts)


def _total(parts: Iterator[Tensor]) -> Tensor:
    """The sum of tensors of one shape, of which there is at least one; the first is overwritten."""
    total = next(parts)
    for part in parts:
        total += part
    return total


def _num_pixel_pairs(maps: Pair, outputs: Pair) -> int:
    return maps[0] * maps[1] * outputs[0] * outputs[1]


def _sides(images: Tensor) -> Pair:
    return images.shape[2], images.shape[3]
