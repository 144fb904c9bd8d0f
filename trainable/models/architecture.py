"""Properties of an architecture that affect a recipe: default rates, decayed vectors, layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import timm
import torch
from timm.layers.drop import DropPath

from trainable.models.dropout import read_places
from trainable.models.probe import RESNET18_CIFAR, probe
from trainable.optim.param_groups import decayed_vectors, has_layers


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A model as timm makes it from its name alone, and how its parameters are grouped.

    Attributes:
        drop_path_rate: Rate that it has where none is given (``drop_path: null`` of train.py); 0 in
            most, 0.1 in Swin, 0.5 in NesT.
        dropout: The same of the dropout that ``dropout`` of a recipe sets; 0 in most, 0.2 in RexNet
            and GhostNet.
        decayed_vectors: `trainable.optim.param_groups.decayed_vectors`.
        has_layers: Whether it says which parameters form a layer, for layer-wise learning rates.
    """

    drop_path_rate: float = 0.0
    dropout: float = 0.0
    decayed_vectors: Mapping[str, int] = field(default_factory=dict)
    has_layers: bool = False


@cache
def architecture(name: str) -> Architecture:
    """Make a model on the meta device, where it costs no memory, and look at it.

    Args:
        name: A timm model, or ``resnet18_cifar``.

    Raises:
        InputError: If there is no such model, or it is no plain classifier.
    """
    found = probe(name, None)
    if name == RESNET18_CIFAR:
        return Architecture()
    with torch.device("meta"):
        model = timm.create_model(name)
    rates = {n: float(m.drop_prob) for n, m in model.named_modules() if isinstance(m, DropPath)}
    # Branches that are never called are left out; rounded, as timm computes rates in float32.
    own = [rates.get(branch, 0.0) / share for branch, share in found.shares.items()]
    return Architecture(
        drop_path_rate=round(max(own, default=0.0), 6),
        dropout=read_places(model, found.dropout_places),
        decayed_vectors=decayed_vectors(model),
        has_layers=has_layers(model),
    )
