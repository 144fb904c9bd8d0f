"""Torch's fused Adam and AdamW, without the copies they make of channels-last gradients on a CPU.

The kernel walks through memory and needs parameter, gradient and moments in one order, whichever.
Torch still copies each gradient that is not contiguous in the order of its dimensions, as those of
3x3 kernels are in channels-last models, and then reads the original: 6 % of a step of ResNet-18 at
32 px (one thread, torch 2.15). Views with the dimensions in the order of memory need no copy.
"""

from typing import Any

import torch
from torch import Tensor


class _InMemoryOrder(torch.optim.Adam):
    """Hands the kernel views; parameters and state keep their shapes."""

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        """Collect parameters, gradients and state of a group, as torch does."""
        has_complex: bool = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        parameters = lists[0]
        for place, parameter in enumerate(list(parameters)):
            if parameter.device.type == "cpu" and _only_channels_last(parameter):
                for tensors in lists:
                    # Moments that are not kept have an empty list, step counts no dimension.
                    if tensors and tensors[place].ndim == 4:
                        tensors[place] = tensors[place].permute(0, 2, 3, 1)
        return has_complex


class FusedAdam(_InMemoryOrder):
    """`torch.optim.Adam` in one kernel per group."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)


class FusedAdamW(_InMemoryOrder, torch.optim.AdamW):
    """`torch.optim.AdamW` in one kernel per group."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)


def _only_channels_last(tensor: Tensor) -> bool:
    """Whether it is in the order of channels last and in no other; 1x1 kernels are in both."""
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
