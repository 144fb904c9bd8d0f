"""Creation of a recipe's model: any timm model, or our small ResNet."""

from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models.drop_path import (
    drop_path_rates,
    make_adjustable,
    read_drop_path_rate,
    set_drop_path_rate,
)
from trainable.models.dropout import read_places
from trainable.models.freezing import freeze
from trainable.models.pretrained import load_packaged_weights, packaged_weights, require_weights
from trainable.models.probe import RESNET18_CIFAR, ModelInfo, describe_model, probe
from trainable.models.resnet_cifar import ResNet18Cifar

__all__ = [
    "RESNET18_CIFAR",
    "ModelInfo",
    "create_model",
    "describe_model",
    "drop_path_rates",
    "read_drop_path_rate",
    "read_dropout",
    "require_dropout",
    "require_freezable",
    "require_output_bias",
    "set_drop_path_rate",
]


def create_model(recipe: Recipe, *, num_classes: int) -> nn.Module:
    """Make the model of a recipe; its fresh weights depend on torch's seed alone.

    Args:
        recipe: Names model, weights, image size, drop path rate and dropout.
        num_classes: Outputs, at least 2.

    Raises:
        InputError: If the model does not exist, cannot take images of this size, has no stochastic
            depth or no dropout though the recipe asks for it, its ImageNet weights are not to be
            had, or it cannot be frozen as the recipe asks.
    """
    name = recipe.model
    found = probe(name, recipe.image_size)
    require_dropout(recipe, found.info)
    require_output_bias(recipe, found.info)
    if name == RESNET18_CIFAR:
        if recipe.pretrained:
            require_weights(name)
        cifar = ResNet18Cifar(num_classes, recipe.strengths.drop_path_rate)
        freeze(cifar, recipe)
        return cifar
    arguments = found.arguments | {"num_classes": num_classes}
    if recipe.dropout is not None and found.dropout_places:
        # Left out, the architecture has its own, which is not 0 in all of them.
        arguments["drop_rate"] = recipe.dropout
    packaged = packaged_weights(name) if recipe.pretrained else None
    if packaged is not None:
        model = timm.create_model(name, **arguments)
        load_packaged_weights(model, packaged)
    elif recipe.pretrained:
        model = _with_timm_weights(name, arguments)
    else:
        model = timm.create_model(name, **arguments)
    make_adjustable(model, found.shares)
    set_drop_path_rate(model, recipe.strengths.drop_path_rate)
    freeze(model, recipe)
    return model


def require_dropout(recipe: Recipe, info: ModelInfo) -> None:
    """Raise if a recipe has dropout but the model has no layer for it.

    Raises:
        InputError: If the recipe has one and the model has no layer for it.
    """
    if recipe.dropout and not info.takes_dropout:
        raise InputError(
            f"`dropout` must be 0 or null for {recipe.model}, which has no layer for it, but got "
            f"{recipe.dropout!r}."
        )


def require_output_bias(recipe: Recipe, info: ModelInfo) -> None:
    """Raise if a recipe adjusts logits but the model's outputs have no bias to write that into.

    Raises:
        InputError: If the recipe does and the model has none.
    """
    if recipe.logit_adjustment and not info.has_output_bias:
        raise InputError(
            f"`logit_adjustment` must be 0 for {recipe.model}, whose outputs have no bias to write "
            f"it into, but got {recipe.logit_adjustment!r}."
        )


def require_freezable(recipe: Recipe) -> None:
    """Raise if a recipe freezes what its model or its missing weights do not allow.

    Raises:
        InputError: See `trainable.models.freezing.freeze`.
    """
    if recipe.freeze == "none":
        return
    with torch.device("meta"):
        is_own = recipe.model == RESNET18_CIFAR
        model = ResNet18Cifar(2) if is_own else timm.create_model(recipe.model)
    freeze(model, recipe)


def read_dropout(model: nn.Module, name: str) -> float:
    """Read the rate of a recipe's dropout off the live model of this name.

    Raises:
        RuntimeError: If its layers do not agree.
    """
    return read_places(model, probe(name, None).dropout_places)


def _with_timm_weights(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Create a model with timm's weights from a file, which no server needs to be asked for."""
    path = require_weights(name)
    # Original JAX weights; timm converts them.
    overlay = {"file": str(path), "custom_load": path.suffix == ".npz"}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} must hold weights of {name}, but: {reason}") from error
