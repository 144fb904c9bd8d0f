"""BatchNorm's running statistics: measuring them anew, and passes that do not change them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def tracked_norms(model: nn.Module) -> list[_BatchNorm]:
    """List the BatchNorm layers that keep running statistics, without those of frozen parts."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and module.track_running_stats
        and (not module.affine or any(p.requires_grad for p in module.parameters()))
    ]


def batch_norm_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Copy all BatchNorm statistics by name, as a partial ``state_dict`` of the model."""
    return {
        f"{name}.{statistic}": buffer.clone()
        for name, norm in model.named_modules()
        if isinstance(norm, _BatchNorm)
        for statistic, buffer in norm.named_buffers()
    }


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure BatchNorm statistics anew for the present weights, everything else in eval mode.

    Unlike in `torch.optim.swa_utils.update_bn`, stochastic depth and dropout are off meanwhile.

    Args:
        model: Left in the modes it was in.
        batches: Normalized training images; each batch counts the same.
    """
    norms = tracked_norms(model)
    if not norms:
        return
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The plain mean over all batches, not a moving one.
        norm.train()
    try:
        for images in batches:
            model(images)
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training


@contextmanager
def measured_statistics(
    model: nn.Module, batches: Iterable[Tensor], *, keep: bool = False
) -> Iterator[None]:
    """Give BatchNorm statistics that are measured for the present weights, inside the ``with``.

    Args:
        model: The model.
        batches: As in `refresh_batch_norm`.
        keep: Whether they stay in the model afterwards.
    """
    before = {} if keep else batch_norm_statistics(model)
    refresh_batch_norm(model, batches)
    try:
        yield
    finally:
        model.load_state_dict(before, strict=False)


@contextmanager
def no_batch_norm_statistics(model: nn.Module) -> Iterator[None]:
    """Make BatchNorm use, but not record, the statistics of the batches inside the ``with``."""
    norms = tracked_norms(model)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
