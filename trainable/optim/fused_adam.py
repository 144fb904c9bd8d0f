"""Torch's fused Adam and AdamW on a CPU, without what torch does around the kernel.

The kernel walks through memory and needs parameter, gradient and moments in one order, whichever.
Torch copies each gradient that is not contiguous in the order of its dimensions, as those of 3x3
kernels are in channels-last models, and then reads the original: 6 % of a step of ResNet-18 at
32 px (one thread, torch 2.15). Views with the dimensions in the order of memory need no copy.

Torch also keeps the number of steps in a tensor per parameter and counts each one up in a call of
its own, and looks up all state again in each step: as long as half of what the kernel takes for an
EfficientNet. Here the numbers are views of one tensor per group, and the lists are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lists:
    """Arguments of the kernel for a group, beside its parameters and gradients.

    Attributes:
        params: In the order of the group.
        permuted: Whether a parameter's dimensions are handed over in the order of memory.
        exp_avgs: First moments, as they are handed over.
        exp_avg_sqs: Second moments, likewise.
        steps: Steps taken, one view of ``counter`` per parameter.
        counter: All of ``steps``.
    """

    params: list[Tensor]
    permuted: list[bool]
    exp_avgs: list[Tensor]
    exp_avg_sqs: list[Tensor]
    steps: list[Tensor]
    counter: Tensor


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam` in one kernel per group."""

    _kernel = staticmethod(torch._fused_adam_)

    def __init__(self, groups: list[dict[str, Any]], *, lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self._lists: dict[int, _Lists] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one optimizer step, divided by ``grad_scale`` and unless ``found_inf``."""
        grads = [[p.grad for p in group["params"]] for group in self.param_groups]
        if closure is not None or not all(map(_can_be_handed_over, grads)):
            self._lists.clear()  # Torch's own step counts by itself.
            return super().step(closure)
        found_inf = getattr(self, "found_inf", None)
        for place, group in enumerate(self.param_groups):
            lists = self._lists.get(place)
            if lists is None or len(lists.params) != len(group["params"]):
                lists = self._lists[place] = self._collected(group)
            lists.counter.add_(1)
            self._kernel(
                _in_memory_order(lists.params, lists.permuted),
                _in_memory_order(grads[place], lists.permuted),
                lists.exp_avgs,
                lists.exp_avg_sqs,
                [],
                lists.steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
                grad_scale=getattr(self, "grad_scale", None),
                found_inf=found_inf,
            )
            if found_inf is not None:
                lists.counter.sub_(found_inf)
        return None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on from other state, after `load_state_dict` or in a copy."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._lists = {}

    def _collected(self, group: dict[str, Any]) -> _Lists:
        params: list[Tensor] = []
        exp_avgs: list[Tensor] = []
        exp_avg_sqs: list[Tensor] = []
        steps: list[Tensor] = []
        # Also makes what is not there yet.
        self._init_group(group, params, [], exp_avgs, exp_avg_sqs, [], steps)  # type: ignore[no-untyped-call]
        counter = torch.stack(steps)
        views = list(counter.unbind())
        for parameter, view in zip(params, views, strict=True):
            self.state[parameter]["step"] = view
        permuted = [_only_channels_last(parameter) for parameter in params]
        return _Lists(
            params=params,
            permuted=permuted,
            exp_avgs=_in_memory_order(exp_avgs, permuted),
            exp_avg_sqs=_in_memory_order(exp_avg_sqs, permuted),
            steps=views,
            counter=counter,
        )


class FusedAdamW(FusedAdam, torch.optim.AdamW):
    """`torch.optim.AdamW` in one kernel per group."""

    _kernel = staticmethod(torch._fused_adamw_)


def _can_be_handed_over(grads: list[Tensor | None]) -> bool:
    """Whether it is a CPU, and every parameter of the group has a gradient."""
    return bool(grads) and all(grad is not None and grad.device.type == "cpu" for grad in grads)


def _in_memory_order(tensors: list[Tensor], permuted: list[bool]) -> list[Tensor]:
    """The tensors, or views of them with the dimensions in the order of memory.

    Made anew for parameters in each step: their storage changes place when averages are swapped in.
    """
    return [
        tensor.permute(0, 2, 3, 1) if is_permuted else tensor
        for tensor, is_permuted in zip(tensors, permuted, strict=True)
    ]


def _only_channels_last(tensor: Tensor) -> bool:
    """Whether it is in the order of channels last and in no other; 1x1 kernels are in both."""
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
