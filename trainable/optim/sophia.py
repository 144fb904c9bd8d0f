"""The step of Sophia: momentum divided by an average of the curvature, and clipped."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM, AVERAGING = 0.96, 0.99
"""Shares of the old value that one gradient, and one curvature estimate, leave of an average."""
SMALLEST = 1e-12
"""Least curvature that is divided by; what is below counts as flat, and its step is clipped."""


class SophiaG(torch.optim.Optimizer):
    """Sophia (Liu et al. 2023, arXiv 2305.14342, algorithm 3) with curvature from outside.

    A step is ``-lr * clip(m / max(h, SMALLEST), -clip, clip)``, where ``m`` is the running mean of
    gradients and ``h`` that of curvature estimates; weight decay is decoupled. Without an estimate
    ``h`` stays as it is.

    Args:
        groups: Parameter groups, each with its ``lr`` and ``weight_decay``.
        lr: Learning rate of groups without their own.
        clip: Largest ratio of momentum to curvature.

    Attributes:
        curvature: Estimate of the Hessian's diagonal that the next step takes and then forgets, a
            tensor for each parameter of all groups; an attribute, because
            `torch.amp.GradScaler.step` hands nothing through.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, clip: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "step": 0})
        self._clip = clip
        self.curvature: list[Tensor] | None = None

    @property
    def num_steps(self) -> int:
        """Number of steps taken so far."""
        return int(self.param_groups[0]["step"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients of the parameters, and the curvature if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        estimates, self.curvature = self.curvature, None
        everything = [p for group in self.param_groups for p in group["params"]]
        estimate_of = dict(zip(everything, estimates, strict=True)) if estimates else None
        for group in self.param_groups:
            group["step"] += 1
            if params := [p for p in group["params"] if p.grad is not None]:
                given = None if estimate_of is None else [estimate_of[p] for p in params]
                self._step(params, given, lr=group["lr"], weight_decay=group["weight_decay"])
        return loss

    def _step(
        self, params: list[Tensor], given: list[Tensor] | None, *, lr: float, weight_decay: float
    ) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] |= {name: torch.zeros_like(p) for name in ("momentum", "curvature")}
        means = [self.state[p]["momentum"] for p in params]
        curvatures = [self.state[p]["curvature"] for p in params]
        torch._foreach_mul_(params, 1.0 - lr * weight_decay)
        gradients = [p.grad for p in params if p.grad is not None]  # All: the caller has chosen.
        torch._foreach_lerp_(means, gradients, 1.0 - MOMENTUM)
        if given is not None:
            torch._foreach_lerp_(curvatures, given, 1.0 - AVERAGING)
        ratios = torch._foreach_div(means, torch._foreach_clamp_min(curvatures, SMALLEST))
        torch._foreach_clamp_min_(ratios, -self._clip)
        torch._foreach_clamp_max_(ratios, self._clip)
        torch._foreach_add_(params, ratios, alpha=-lr)
