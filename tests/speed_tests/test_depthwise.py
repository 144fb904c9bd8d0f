"""The fast weight gradient is that of a depthwise convolution written out tap by tap."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainable.speed.depthwise import DepthwiseConv, Pair, one_pixel_output, weight_gradient

SHAPES = [
    # Height and width of the map, kernel, stride, padding.
    ((1, 1), (3, 3), (1, 1), (1, 1)),
    ((1, 1), (5, 5), (1, 1), (2, 2)),
    ((1, 1), (5, 5), (2, 2), (2, 2)),
    ((2, 2), (3, 3), (1, 1), (1, 1)),
    ((2, 2), (5, 5), (1, 1), (2, 2)),
    ((2, 2), (5, 5), (2, 2), (2, 2)),
    ((3, 2), (7, 5), (1, 1), (3, 2)),
    ((2, 3), (3, 5), (2, 1), (1, 2)),
    ((4, 4), (7, 7), (1, 1), (3, 3)),
    ((4, 4), (5, 5), (2, 2), (2, 2)),
    ((5, 5), (5, 5), (2, 2), (0, 0)),
    ((6, 5), (5, 3), (1, 2), (2, 1)),
    ((3, 3), (7, 7), (1, 1), (3, 3)),
    ((4, 4), (9, 9), (1, 1), (4, 4)),  # Padded by more than the output's sides.
    ((4, 5), (11, 3), (1, 1), (5, 1)),
    ((8, 8), (5, 5), (1, 1), (2, 2)),
    ((8, 8), (7, 7), (1, 1), (0, 0)),
    ((8, 8), (5, 5), (2, 2), (2, 2)),  # The last rows and columns are under no kernel.
    ((9, 7), (5, 5), (3, 2), (4, 1)),
    ((11, 11), (5, 5), (2, 2), (0, 0)),
]
"""Both ways of summing up are taken, at and around the border between them."""


def written_out(
    images: Tensor, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair
) -> Tensor:
    """A depthwise convolution as its definition has it, one output pixel after the other."""
    padded = F.pad(images, (padding[1], padding[1], padding[0], padding[0]))
    height, width = weight.shape[2:]
    ys = range(0, padded.shape[2] - height + 1, stride[0])
    xs = range(0, padded.shape[3] - width + 1, stride[1])
    pixels = [
        (padded[:, :, y : y + height, x : x + width] * weight[:, 0]).sum((2, 3)) + bias
        for y, x in itertools.product(ys, xs)
    ]
    return torch.stack(pixels, dim=2).view(*images.shape[:2], len(ys), len(xs))


def inputs(
    maps: Pair, kernel: Pair, *, channels: int = 3, num_images: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, weight and bias in float64, images channels last."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, channels, *maps, generator=generator, dtype=torch.float64)
    weight = torch.randn(channels, 1, *kernel, generator=generator, dtype=torch.float64)
    bias = torch.randn(channels, generator=generator, dtype=torch.float64)
    images = images.contiguous(memory_format=torch.channels_last)
    return images.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


@pytest.mark.parametrize(("maps", "kernel", "stride", "padding"), SHAPES)
def test_output_and_all_gradients_are_those_of_the_definition(
    maps: Pair, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    leaves = inputs(maps, kernel)
    expected = written_out(*leaves, stride, padding)
    found = DepthwiseConv.apply(*leaves, stride, padding)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(
        expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, gradient),
        torch.autograd.grad(expected, leaves, gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("maps", "kernel", "stride", "padding"),
    [
        ((2, 2), (5, 5), (1, 1), (2, 2)),
        ((4, 4), (7, 7), (1, 1), (3, 3)),
        ((7, 6), (5, 5), (2, 2), (2, 2)),
        ((4, 4), (9, 9), (1, 1), (4, 4)),
    ],
    ids=["pixel pairs", "forward pass", "with a stride", "with much padding"],
)
def test_finite_differences_agree_to_first_and_second_order(
    maps: Pair, kernel: Pair, stride: Pair, padding: Pair
) -> None:
    leaves = inputs(maps, kernel, channels=2, num_images=2)

    def convolve(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        output: Tensor = DepthwiseConv.apply(images, weight, bias, stride, padding)
        return output

    assert torch.autograd.gradcheck(convolve, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(convolve, leaves, fast_mode=True)


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize("border", [((1, 2), (0, 3)), ((2, 2), (1, 1))])
def test_zeros_that_images_were_padded_by_before_change_nothing(
    side: int, border: tuple[Pair, Pair]
) -> None:
    (top, bottom), (left, right) = border
    images, weight, bias = inputs((side, side), (5, 5))
    padded = F.pad(images, (left, right, top, bottom)).contiguous(memory_format=torch.channels_last)
    expected = written_out(padded, weight, bias, (2, 2), (0, 0))
    found = DepthwiseConv.apply(padded, weight, bias, (2, 2), (0, 0), border)
    leaves = images, weight, bias
    gradient = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, gradient),
        torch.autograd.grad(expected, leaves, gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("chunk_elements", [1, 500])
@pytest.mark.parametrize("side", [3, 8])
def test_a_batch_that_is_summed_in_parts_gives_the_same(
    side: int, chunk_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, or two at a time with one left, either way of summing up."""
    monkeypatch.setattr("trainable.speed.depthwise.CHUNK_ELEMENTS", chunk_elements)
    leaves = inputs((side, side), (5, 5), num_images=7)
    expected = written_out(*leaves, (1, 1), (2, 2))
    gradient = torch.randn_like(expected)
    found = weight_gradient(leaves[0].detach(), gradient, (5, 5), (1, 1), (2, 2))
    torch.testing.assert_close(found, torch.autograd.grad(expected, leaves[1], gradient)[0])


def test_only_what_is_asked_for_is_computed() -> None:
    images, weight, bias = inputs((2, 2), (5, 5))
    frozen = weight.detach()
    DepthwiseConv.apply(images, frozen, None, (1, 1), (2, 2)).sum().backward()
    assert images.grad is not None
    assert frozen.grad is None
    DepthwiseConv.apply(images.detach(), weight, bias, (1, 1), (2, 2)).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(bias.grad, torch.full_like(bias, 2 * 2 * 2))


@pytest.mark.parametrize(
    ("maps", "kernel", "padding", "last"),
    [
        ((1, 1), (5, 5), (2, 2), (2, 2)),
        ((1, 1), (3, 3), (1, 1), (1, 1)),
        ((2, 2), (3, 3), (0, 0), (1, 1)),  # TensorFlow pads below and on the right alone.
        ((2, 2), (2, 2), (0, 0), (0, 0)),
        ((7, 7), (7, 7), (0, 0), (0, 0)),
        ((2, 1), (5, 3), (1, 1), (2, 1)),
        ((4, 4), (3, 3), (0, 0), (0, 0)),  # Pixels that a stride of two leaves aside.
    ],
)
def test_a_single_output_pixel_is_that_of_the_definition(
    maps: Pair, kernel: Pair, padding: Pair, last: Pair
) -> None:
    leaves = inputs(maps, kernel)
    padded = F.pad(leaves[0], (padding[1], last[1], padding[0], last[0]))
    expected = written_out(padded, *leaves[1:], (2, 2), (0, 0))
    found = one_pixel_output(*leaves, padding)
    assert found.shape == expected.shape == (2, 3, 1, 1)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found.square().sum(), leaves),
        torch.autograd.grad(expected.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
