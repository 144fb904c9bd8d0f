"""Parameter groups: weight decay and relative learning rate of each parameter."""

from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Any

import torch
from timm.models import group_parameters
from timm.optim._param_groups import auto_group_layers
from torch import nn

NO_DECAY = "no_decay"
"""End of the name of a group whose weight decay is always 0."""


def param_groups(
    model: nn.Module, *, weight_decay: float, no_decay_split: bool = True, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Split the trainable parameters of ``model`` into groups for a torch optimizer.

    Nothing with at most one dimension (most scales of normalizations and layers), no bias, and
    nothing that ``model.no_weight_decay()`` names is decayed: timm's rule. It goes by shape, so it
    decays the scales of some models, see `decayed_vectors` and docs/weight_decay.md. With
    ``layer_decay`` below 1, layer ``l`` of ``n`` learns with ``layer_decay ** (n - 1 - l)`` times
    the rate of the head (Bao et al. 2021, BEiT, arXiv 2106.08254). The layers are those of timm's
    ``group_matcher``; for a model without one, cuts after every twelve parameters, as in timm.

    Args:
        model: A model, compiled or not.
        weight_decay: Decay of the decayed groups, at least 0; at 0 the split stays, so that the
            groups of two trials differ in numbers only.
        no_decay_split: Whether to spare anything at all from decay.
        layer_decay: Factor on the learning rate per layer towards the input, in ``(0, 1]``.

    Returns:
        Groups with the keys ``params``, ``weight_decay``, ``lr_scale`` and ``name``, from the input
        to the head; every trainable parameter is in exactly one. Whoever sets the learning rate
        multiplies it by ``lr_scale``.
    """
    model = getattr(model, "_orig_mod", model)  # torch.compile would prefix every name.
    layer_of = _layers(model) if layer_decay < 1.0 else {}
    last_layer = max(layer_of.values(), default=0)
    spared = _spared_by_model(model)

    members: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = not (no_decay_split and _is_spared(name, parameter, spared))
            key = layer_of.get(name, last_layer), decays
            members.setdefault(key, []).append(parameter)

    groups = []
    for (layer, decays), parameters in sorted(members.items(), key=lambda item: item[0]):
        kind = "decay" if decays else NO_DECAY
        groups.append(
            {
                "params": parameters,
                "weight_decay": weight_decay if decays else 0.0,
                "lr_scale": layer_decay ** (last_layer - layer),
                "name": f"layer_{layer}.{kind}" if layer_of else kind,
            }
        )
    return groups


def decayed_vectors(model: nn.Module) -> dict[str, int]:
    """Count the parameters that decay although each is one vector, by the last part of the name.

    Layer scales (``gamma`` of FastViT), gains, temperatures and tokens that are stored ready to be
    broadcast, as ``(channels, 1, 1)`` say, have more than one dimension, so that timm's rule takes
    them for matrices. Weights of convolutions and linear layers are not counted, whatever their
    shape.
    """
    patterns = _spared_by_model(model)
    layers = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)
    weights = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, layers)}
    return dict(
        Counter(
            name.rpartition(".")[2]
            for name, parameter in model.named_parameters()
            if parameter.numel() == max(parameter.shape, default=1)
            and name not in weights
            and not _is_spared(name, parameter, patterns)
        )
    )


def has_layers(model: nn.Module) -> bool:
    """Whether the model says which parameters form a layer; else timm cuts after every twelve."""
    return hasattr(model, "group_matcher")


def _spared_by_model(model: nn.Module) -> set[str]:
    """Return the patterns of names that the model itself excludes from weight decay."""
    no_weight_decay = getattr(model, "no_weight_decay", None)
    return set(no_weight_decay()) if no_weight_decay else set()


def _is_spared(name: str, parameter: torch.Tensor, patterns: Iterable[str]) -> bool:
    one_dimensional = parameter.ndim <= 1 or name.endswith(".bias")
    return one_dimensional or any(fnmatch(name, pattern) for pattern in patterns)


def _layers(model: nn.Module) -> dict[str, int]:
    """Return the layer number by parameter name, 0 at the input, as in timm's layer-wise decay."""
    if not has_layers(model):
        return dict(auto_group_layers(model))  # type: ignore[no-untyped-call]
    group_matcher: Any = model.group_matcher
    return dict(group_parameters(model, group_matcher(coarse=False), reverse=True))
