"""Convolutions of a model that take the fast way where there is one, and torch's where not.

Which way a convolution goes follows from shapes, dtypes and the kind of CPU alone, and not from a
timing: two ways round differently, so that a timing which falls out otherwise the next time would
break the promise that a resumed run, or the same run on another worker, is the same bit for bit.
``python -m benchmarks.steps.convolutions model`` times both ways of each convolution of a model.
"""

from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same, pad_same_arg
from torch import Tensor, nn

from trainable.speed.depthwise import DepthwiseConv, Pair, is_faster_here, one_pixel_output

MOST_PIXELS = 512
"""Pixels of a batch, all images together, up to which a 1x1 convolution is faster as a matrix
product: it saves rearranging the weights, which costs the same however few pixels there are."""
_IN_PLACE_COPIES = (nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.SiLU)
"""Activations whose in-place form keeps a copy of its input for the backward pass."""


class FastDepthwise(nn.Conv2d):
    """A depthwise convolution that computes its weight gradient, or all of it, the fast way."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[N, C, H, W]``."""
        if not _is_plain(x):
            return super().forward(x)
        padding, (maps, outputs) = cast(Pair, self.padding), self._sides(x)
        if outputs == (1, 1):
            return one_pixel_output(x, self.weight, self.bias, padding)
        if not self._has_fast_gradient(maps, maps, outputs):
            return super().forward(x)
        y: Tensor = DepthwiseConv.apply(x, self.weight, self.bias, self.stride, padding)
        return y

    def _sides(self, x: Tensor) -> tuple[Pair, Pair]:
        """Heights and widths of input and output."""
        (height, width), padding = x.shape[2:], cast(Pair, self.padding)
        return (height, width), (
            (height + 2 * padding[0] - self.kernel_size[0]) // self.stride[0] + 1,
            (width + 2 * padding[1] - self.kernel_size[1]) // self.stride[1] + 1,
        )

    def _has_fast_gradient(self, maps: Pair, inner: Pair, outputs: Pair) -> bool:
        kernel, stride = cast(Pair, self.kernel_size), cast(Pair, self.stride)
        is_trained = torch.is_grad_enabled() and self.weight.requires_grad
        return is_trained and is_faster_here(maps, inner, outputs, kernel, stride)


class FastDepthwiseSame(FastDepthwise, Conv2dSame):
    """The same with TensorFlow's padding, which may be wider below and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[N, C, H, W]``."""
        if not _is_plain(x):
            y: Tensor = Conv2dSame.forward(self, x)  # type: ignore[no-untyped-call]  # timm: untyped
            return y
        sizes = list(self.kernel_size), list(self.stride), list(self.dilation)
        left, right, top, bottom = pad_same_arg(list(x.shape[2:]), *sizes)
        if x.shape[2] <= self.stride[0] and x.shape[3] <= self.stride[1]:
            return one_pixel_output(x, self.weight, self.bias, (top, left))
        padded = pad_same(x, *sizes)
        maps, outputs = self._sides(padded)
        if self._has_fast_gradient(maps, (x.shape[2], x.shape[3]), outputs):
            border = (top, bottom), (left, right)
            y = DepthwiseConv.apply(padded, self.weight, self.bias, self.stride, (0, 0), border)
        else:
            y = F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)
        return y


class FastPointwise(nn.Conv2d):
    """A 1x1 convolution as a product of matrices where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[N, C, H, W]``."""
        if not _is_plain(x) or len(x) * x.shape[2] * x.shape[3] > MOST_PIXELS:
            return super().forward(x)
        y = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 3, 1, 2)


def use_fast_kernels(model: nn.Module) -> None:
    """Let a model that trains on a CPU take the fast ways, in place.

    Parameters, buffers, their names and every module's identity stay; only the class of its
    convolutions changes, so that hooks, shared modules and saved states go on working.

    Args:
        model: On the CPU, not compiled.
    """
    if not _has_fast_ways():
        return
    for module in model.modules():
        if type(module) in (nn.Conv2d, Conv2dSame):
            module.__class__ = _fast_class(cast(nn.Conv2d, module))
        elif isinstance(module, _IN_PLACE_COPIES):
            module.inplace = False


def _fast_class(conv: nn.Conv2d) -> type[nn.Conv2d]:
    is_same = type(conv) is Conv2dSame
    is_usual = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    if not is_usual or conv.dilation != (1, 1):
        return type(conv)
    if conv.groups == conv.in_channels == conv.out_channels > 1:
        return FastDepthwiseSame if is_same else FastDepthwise
    is_pointwise = conv.kernel_size == conv.stride == (1, 1) and conv.padding == (0, 0)
    return FastPointwise if is_pointwise and conv.groups == 1 and not is_same else type(conv)


@cache
def _has_fast_ways() -> bool:
    """Whether convolutions and matrix products come from the libraries that were measured."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch: untyped
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]  # torch: untyped
    has_avx = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return bool(has_onednn and has_mkl and has_avx)


def _is_plain(x: Tensor) -> bool:
    """Whether it is what was measured: a batch in full precision, channels last, and eager."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and x.ndim == 4
        and len(x) > 0
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
    )
