"""Stochastic depth whose rate can be read from, and changed on, a live model."""

from collections.abc import Callable, Mapping
from typing import Self

import torch
from timm.layers.drop import DropPath, drop_path
from torch import Tensor, nn

from spaces.errors import InputError


class StochasticDepth(DropPath):
    """timm's ``DropPath`` (Huang et al. 2016, arXiv 1603.09382) with a rate that can change.

    Args:
        share: Rate of this branch divided by the rate of the whole model, in ``(0, 1]``.
        scale_by_keep: Whether branches that are kept are scaled up, so that the mean stays.

    Attributes:
        drop_prob: Probability that the branch is skipped, per image.
    """

    def __init__(self, share: float, scale_by_keep: bool = True) -> None:
        super().__init__(0.0, scale_by_keep)
        self.share = share
        # No buffer: it is no part of the weights, so neither saved nor averaged with them.
        self._keep_prob = torch.ones(())

    def set_model_rate(self, rate: float) -> None:
        """Set the rate of this branch to its share of the whole model's rate."""
        self.drop_prob = self.share * rate
        self._keep_prob.fill_(1.0 - self.drop_prob)

    def forward(self, x: Tensor) -> Tensor:
        """Skip the branch of some images of the batch; evaluation skips none."""
        if torch.compiler.is_compiling() or (
            x.is_cuda and torch.cuda.is_current_stream_capturing()
        ):
            # The rate is read from a tensor, or a compiled step or recorded graph would be built
            # again for every trial of an actor.
            return self._drop_by_tensor(x) if self.training else x
        kept: Tensor = drop_path(x, self.drop_prob, self.training, self.scale_by_keep)
        return kept

    def _drop_by_tensor(self, x: Tensor) -> Tensor:
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        is_kept = torch.rand(shape, device=x.device) < self._keep_prob
        mask = is_kept / self._keep_prob if self.scale_by_keep else is_kept
        return x * mask.to(x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move with the model, as a buffer would."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._keep_prob = fn(self._keep_prob)
        return self


def make_adjustable(model: nn.Module, shares: Mapping[str, float]) -> None:
    """Put `StochasticDepth` in the place of every ``DropPath`` of a model, at rate 0.

    Args:
        model: Made with a rate above 0; at 0 timm leaves ``DropPath`` out.
        shares: By name of the module, the share of each branch that is really skipped. A
            ``DropPath`` that the model never calls is taken out, so that it is not counted.
    """
    found = [(name, m) for name, m in model.named_modules() if type(m) is DropPath]
    for name, module in found:
        put: nn.Module = nn.Identity()
        if name in shares:
            put = StochasticDepth(shares[name], module.scale_by_keep)
        model.set_submodule(name, put)


def drop_path_rates(model: nn.Module) -> list[float]:
    """Read the rate of every residual block that can be skipped off the live model, in depth order.

    A block with several branches (attention and MLP of a transformer) counts once, with its highest
    rate. Blocks that the linear rule never skips, such as the first, are not in the list.
    """
    blocks: dict[str, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, DropPath):
            block = name.rpartition(".")[0]
            blocks[block] = max(blocks.get(block, 0.0), float(module.drop_prob))
    return list(blocks.values())


def set_drop_path_rate(model: nn.Module, rate: float) -> None:
    """Change the rate of a live model to what creating it with ``rate`` gives.

    Args:
        model: Made by `trainable.models.build.create_model`.
        rate: Rate at the end of the network, in ``[0, 1)``; each block gets its share of it, in
            nearly all models linear in depth.

    Raises:
        InputError: If the rate is outside its interval, or above 0 for a model without stochastic
            depth.
    """
    if not 0.0 <= rate < 1.0:
        raise InputError(f"`0 <= drop_path_rate < 1` must hold, but got {rate!r}.")
    branches = [module for module in model.modules() if isinstance(module, StochasticDepth)]
    if rate > 0 and not branches:
        raise InputError(
            f"`drop_path_rate` must be 0 for a {type(model).__name__}, which has no stochastic "
            f"depth, but got {rate!r}."
        )
    for branch in branches:
        branch.set_model_rate(rate)


def read_drop_path_rate(model: nn.Module) -> float:
    """Compute from the live rates the argument of `set_drop_path_rate` that gives them.

    Raises:
        RuntimeError: If no single rate gives them.
    """
    branches = [module for module in model.modules() if isinstance(module, StochasticDepth)]
    rates = [branch.drop_prob / branch.share for branch in branches] or [0.0]
    if max(rates) - min(rates) > 1e-6:
        raise RuntimeError(
            f"All blocks must say the same rate, but got {min(rates)}..{max(rates)}."
        )
    return rates[-1]
