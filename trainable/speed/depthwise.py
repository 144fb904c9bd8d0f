"""The weight gradient of a depthwise convolution, where oneDNN is slow at it.

That gradient is, for each channel and each tap of the kernel, a sum of products of the output's
gradient with the input shifted by the tap. oneDNN 3.13 has a depthwise kernel for it only for
kernels of 3 x 3 on maps at least that large. Everything else goes to the kernel for dense
convolutions, which computes eight or sixteen times what is wanted, or on a CPU without AVX-512 and
on maps smaller than the kernel to one tiny matrix product for each channel and image. Its forward
pass and its gradient of the input are fast everywhere, and stay.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
"""A vertical and a horizontal number."""

MOST_PIXEL_PAIRS = 25
"""Pairs of an input and an output pixel up to which multiplying each pair is fastest."""
CHUNK_ELEMENTS = 2**18
"""Elements of the input that are rearranged at once, so that they stay in a core's own cache."""


class DepthwiseConv(torch.autograd.Function):
    """``conv2d`` with one kernel per channel; only the gradient of the weight is computed anew."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]  # torch: untyped
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        """Convolve.

        Args:
            ctx: What the backward pass will be given.
            images: ``[N, C, H, W]``.
            weight: ``[C, 1, kernel height, kernel width]``.
            bias: ``[C]`` or None.
            stride: Of the output over the input.
            padding: Rows of zeros above and below, columns left and right.
        """
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
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
            of_weight = weight_gradient(images, gradient, kernel, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None


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
def is_faster_here(maps: Pair, outputs: Pair, kernel: Pair, stride: Pair) -> bool:
    """Whether `weight_gradient` takes less time than oneDNN, by the shapes alone.

    ``python -m benchmarks.steps.convolutions depthwise`` measures where the border runs.

    Args:
        maps: Height and width of the input.
        outputs: Height and width of the output.
        kernel: Of the weight.
        stride: Of the output over the input.
    """
    is_large_kernel = min(kernel) >= 5
    if _num_pixel_pairs(maps, outputs) <= MOST_PIXEL_PAIRS:
        return is_large_kernel or maps[0] < kernel[0] or maps[1] < kernel[1]
    if stride == (1, 1):
        return is_large_kernel
    return is_large_kernel and max(outputs) <= 2


def weight_gradient(
    images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair
) -> Tensor:
    """Gradient of a loss in the weight of a depthwise convolution.

    Args:
        images: What is convolved, ``[N, C, H, W]``.
        gradient: Of the loss in the result, ``[N, C, H', W']``.
        kernel: Height and width of the weight.
        stride: Of the output over the input.
        padding: Rows of zeros above and below, columns left and right.

    Returns:
        ``[C, 1, *kernel]``.
    """
    maps, outputs = _sides(images), _sides(gradient)
    if _num_pixel_pairs(maps, outputs) <= MOST_PIXEL_PAIRS:
        return _by_pixel_pairs(images, gradient, kernel, stride, padding)
    if stride == (1, 1):
        return _by_forward_pass(images, gradient, kernel, padding)
    return _by_taps(images, gradient, kernel, stride, padding)


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
    products = (inputs * outputs).sum(0).view(-1, channels)
    return torch.mm(products.t(), taps).view(channels, 1, *kernel)


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


def _by_forward_pass(images: Tensor, gradient: Tensor, kernel: Pair, padding: Pair) -> Tensor:
    """Convolve the input with the output's gradient as the kernel, every image's on its own.

    Images and channels of the batch become the channels of one single image, for which oneDNN has a
    fast forward pass whatever the size of the kernel.
    """
    channels = images.shape[1]
    at_once = max(1, CHUNK_ELEMENTS // images[0].numel())
    parts = zip(torch.split(images, at_once), torch.split(gradient, at_once), strict=True)
    total = None
    for inputs, outputs in parts:
        part = F.conv2d(
            inputs.reshape(1, -1, *_sides(images)),
            outputs.reshape(-1, 1, *_sides(gradient)),
            padding=padding,
            groups=len(inputs) * channels,
        )
        part = part.view(len(inputs), channels, 1, *kernel).sum(0)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _by_taps(images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Multiply and add up one tap of the kernel after the other."""
    inputs, outputs = images.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    nothing = outputs.new_zeros(outputs.shape[-1])
    sums = []
    for tap_y in range(kernel[0]):
        rows, out_rows = _joined(tap_y - padding[0], images.shape[2], outputs.shape[1], stride[0])
        for tap_x in range(kernel[1]):
            columns, out_columns = _joined(
                tap_x - padding[1], images.shape[3], outputs.shape[2], stride[1]
            )
            products = inputs[:, rows, columns] * outputs[:, out_rows, out_columns]
            sums.append(products.sum((0, 1, 2)) if products.numel() else nothing)
    return torch.stack(sums, dim=1).view(-1, 1, *kernel)


def _joined(shift: int, num_inputs: int, num_outputs: int, stride: int) -> tuple[slice, slice]:
    """Inputs ``stride * o + shift`` that are there, and the outputs ``o`` they belong to."""
    first = max(0, -(shift // stride))
    last = min(num_outputs - 1, (num_inputs - 1 - shift) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + shift
    return slice(begin, begin + (last - first) * stride + 1, stride), slice(first, last + 1)


def _num_pixel_pairs(maps: Pair, outputs: Pair) -> int:
    return maps[0] * maps[1] * outputs[0] * outputs[1]


def _sides(images: Tensor) -> Pair:
    return images.shape[2], images.shape[3]
