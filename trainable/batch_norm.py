"""BatchNorm's running statistics: measuring them anew, and passes that do not change them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
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
def no_batch_norm_statistics(model: nn.Module) -> Iterator[None]:
    """Make BatchNorm use, but not record, the statistics of the batches inside the ``with``."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
