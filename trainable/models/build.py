"""Any timm model, or our small ResNet, ready to be trained with a recipe."""

import difflib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.layers.drop import DropPath
from torch import Tensor, nn

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models.drop_path import (
    StochasticDepth,
    drop_path_rates,
    make_adjustable,
    read_drop_path_rate,
    set_drop_path_rate,
)
from trainable.models.pretrained import load_packaged_weights, packaged_weights, require_weights
from trainable.models.resnet_cifar import ResNet18Cifar

__all__ = [
    "ModelInfo",
    "create_model",
    "describe_model",
    "drop_path_rates",
    "read_drop_path_rate",
    "set_drop_path_rate",
]

RESNET18_CIFAR = "resnet18_cifar"
_PROBE_RATE = 0.5
_PROBE_CLASSES = 1000
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What is known of a model without training it.

    Attributes:
        num_blocks: Residual blocks that stochastic depth can skip.
        takes_drop_path: Whether there are any.
        mean: Per channel, subtracted from images in ``[0, 1]``.
        std: Per channel, what they are then divided by.
        num_params: Parameters, with 1000 classes.
    """

    num_blocks: int
    takes_drop_path: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    num_params: int


def describe_model(name: str, *, image_size: int | None = None) -> ModelInfo:
    """Look at a model without weights; takes a tenth of a second the first time, then nothing.

    Args:
        name: A timm model, or ``resnet18_cifar``.
        image_size: Side of its images in pixels, to find out whether it can take them; None is the
            size it was designed for.

    Raises:
        InputError: If there is no such model, if it is no plain classifier, or if it cannot take
            images of this size.
    """
    return _probe(name, image_size).info


def create_model(recipe: Recipe, *, num_classes: int) -> nn.Module:
    """Make the model of a recipe; its fresh weights depend on torch's seed alone.

    Args:
        recipe: Names model, weights, image size and drop path rate.
        num_classes: Outputs, at least 2.

    Raises:
        InputError: If the model does not exist, cannot take images of this size, has no stochastic
            depth though the recipe asks for it, or its ImageNet weights are not to be had.
    """
    name = recipe.model
    probe = _probe(name, recipe.image_size)
    if name == RESNET18_CIFAR:
        if recipe.pretrained:
            require_weights(name)
        return ResNet18Cifar(num_classes, recipe.strengths.drop_path_rate)
    arguments = probe.arguments | {"num_classes": num_classes}
    packaged = packaged_weights(name) if recipe.pretrained else None
    if packaged is not None:
        model = timm.create_model(name, **arguments)
        load_packaged_weights(model, packaged)
    elif recipe.pretrained:
        model = _with_timm_weights(name, arguments)
    else:
        model = timm.create_model(name, **arguments)
    make_adjustable(model, probe.shares)
    set_drop_path_rate(model, recipe.strengths.drop_path_rate)
    return model


@dataclass(frozen=True, kw_only=True, slots=True)
class _Probe:
    """What a forward pass without data shows.

    Attributes:
        info: For the user of this module.
        arguments: What `timm.create_model` needs beside the name and the classes.
        shares: Share of the drop path rate, by name of each `DropPath` that is really called.
    """

    info: ModelInfo
    arguments: dict[str, Any]
    shares: dict[str, float]


@cache
def _probe(name: str, image_size: int | None) -> _Probe:
    """Build the model on the meta device, where tensors have shapes and no content."""
    if name == RESNET18_CIFAR:
        with torch.device("meta"):
            cifar = ResNet18Cifar(_PROBE_CLASSES)
        shares = {n: m.share for n, m in cifar.named_modules() if isinstance(m, StochasticDepth)}
        info = _info(cifar, shares, _CIFAR_MEAN, _CIFAR_STD)
        return _Probe(info=info, arguments={}, shares=shares)
    cfg = _timm_cfg(name)
    side = image_size or cfg.input_size[-1]
    arguments: dict[str, Any] = {"num_classes": _PROBE_CLASSES, "drop_path_rate": _PROBE_RATE}
    if cfg.fixed_input_size and image_size:
        arguments["img_size"] = image_size
    # Nothing is drawn on the meta device, so the seed of the next model's weights stays.
    with torch.device("meta"):
        try:
            model, arguments = _build(name, arguments)
            called = _called_drop_paths(model, torch.empty(2, 3, side, side))
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
            # What timm's models raise, each in its own words, when an image is too small or no
            # multiple of their patches.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(
                f"{name} must be a classifier that takes images of {side} px, but: {reason}"
            ) from error
    shares = {n: m.drop_prob / _PROBE_RATE for n, m in called.items() if m.drop_prob > 0}
    del arguments["num_classes"]
    return _Probe(info=_info(model, shares, cfg.mean, cfg.std), arguments=arguments, shares=shares)


def _timm_cfg(name: str) -> Any:
    try:
        if timm.is_model(name):
            return timm.get_pretrained_cfg(name)
    except RuntimeError:
        pass  # A known architecture with an unknown tag of weights.
    close = difflib.get_close_matches(name, [*timm.list_models(), RESNET18_CIFAR], n=3)
    hint = f"; close are {', '.join(close)}" if close else ""
    raise InputError(f"`model` must be a timm model or {RESNET18_CIFAR}, but got {name!r}{hint}.")


def _build(name: str, arguments: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Create a model with the arguments it takes; returns these too."""
    try:
        return timm.create_model(name, **arguments), arguments
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
    fewer = {key: value for key, value in arguments.items() if key != "drop_path_rate"}
    return timm.create_model(name, **fewer), fewer


def _called_drop_paths(model: nn.Module, images: Tensor) -> dict[str, DropPath]:
    """Run the model once and see which of its ``DropPath`` modules are used.

    EfficientNets make one for every block, and use it only where there is a shortcut.
    """
    called: dict[str, DropPath] = {}
    for name, module in model.named_modules():
        if isinstance(module, DropPath):
            module.register_forward_pre_hook(lambda m, _, name=name: called.update({name: m}))
    # In training mode: some models then return several outputs, which no recipe here can use.
    with torch.no_grad():
        logits = model.train()(images)
    if not isinstance(logits, Tensor) or logits.shape != (len(images), _PROBE_CLASSES):
        raise ValueError("in training it does not return one row of logits per image")
    return called


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


def _info(
    model: nn.Module,
    shares: dict[str, float],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> ModelInfo:
    blocks = {name.rpartition(".")[0] for name in shares}
    return ModelInfo(
        num_blocks=len(blocks),
        takes_drop_path=bool(blocks),
        mean=mean,
        std=std,
        num_params=sum(math.prod(p.shape) for p in model.parameters()),
    )
