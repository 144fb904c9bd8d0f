"""Inspection of a timm model, or our small ResNet, without weights or data."""

import difflib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from spaces.errors import InputError
from trainable.batch_norm import tracked_norms
from trainable.models.drop_path import StochasticDepth
from trainable.models.dropout import DropoutWatch, Place, places_of
from trainable.models.output_bias import output_biases
from trainable.models.resnet_cifar import ResNet18Cifar

RESNET18_CIFAR = "resnet18_cifar"
_PROBE_RATE = 0.5
_PROBE_DROPOUT = 321 / 1024
"""A rate that no model has of its own, so that every place that holds it was given it."""
_PROBE_CLASSES = 1000
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """Properties of a model that are found without training it.

    Attributes:
        depth_shares: Of each residual block that stochastic depth can skip, in depth order: the
            rate that it is skipped with, divided by the rate of the whole model.
        takes_dropout: Whether ``dropout`` of a recipe reaches any layer.
        fixed_dropout: Largest rate of a dropout that trains along whatever a recipe says; 0 in all
            but a few architectures.
        has_batch_norm: Whether any module keeps running statistics of its inputs.
        has_output_bias: Whether each output has a bias of its own.
        mean: Per channel, subtracted from images in ``[0, 1]``.
        std: Per channel, what they are then divided by.
        num_params: Parameters, with 1000 classes.
    """

    depth_shares: tuple[float, ...]
    takes_dropout: bool
    fixed_dropout: float
    has_batch_norm: bool
    has_output_bias: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    num_params: int

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks that stochastic depth can skip."""
        return len(self.depth_shares)

    @property
    def takes_drop_path(self) -> bool:
        """Whether any block can be skipped."""
        return bool(self.depth_shares)

    @property
    def deepest_share(self) -> float:
        """Share of the model's drop path rate that its deepest block has; 1 without blocks."""
        # timm counts rates in float32.
        return min(1.0, round(self.depth_shares[-1], 6)) if self.depth_shares else 1.0


def describe_model(name: str, *, image_size: int | None = None) -> ModelInfo:
    """Inspect a model without weights; takes a tenth of a second, and nothing when repeated.

    Args:
        name: A timm model, or ``resnet18_cifar``.
        image_size: Side of its images in pixels, to find out whether it can take them; None is the
            size it was designed for.

    Raises:
        InputError: If there is no such model, if it is no plain classifier, or if it cannot take
            images of this size.
    """
    return probe(name, image_size).info


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The result of building a model and running a forward pass without data.

    Attributes:
        info: Properties of the model.
        arguments: Arguments of `timm.create_model` beside the name, the classes and the dropout.
        shares: Share of the drop path rate, by name of each `DropPath` that is really called.
        dropout_places: Attributes that hold the rate of ``dropout``.
    """

    info: ModelInfo
    arguments: dict[str, Any]
    shares: dict[str, float]
    dropout_places: tuple[Place, ...]


@cache
def probe(name: str, image_size: int | None) -> Probe:
    """Build the model on the meta device, where tensors have shapes and no content.

    Raises:
        InputError: As `describe_model` does.
    """
    if name == RESNET18_CIFAR:
        with torch.device("meta"):
            cifar = ResNet18Cifar(_PROBE_CLASSES)
        shares = {n: m.share for n, m in cifar.named_modules() if isinstance(m, StochasticDepth)}
        info = _info(
            cifar,
            shares,
            takes_dropout=False,
            fixed_dropout=0.0,
            mean=_CIFAR_MEAN,
            std=_CIFAR_STD,
        )
        return Probe(info=info, arguments={}, shares=shares, dropout_places=())
    cfg = _timm_cfg(name)
    side = image_size or cfg.input_size[-1]
    arguments: dict[str, Any] = {
        "num_classes": _PROBE_CLASSES,
        "drop_path_rate": _PROBE_RATE,
        "drop_rate": _PROBE_DROPOUT,
    }
    if cfg.fixed_input_size and image_size:
        arguments["img_size"] = image_size
    # Nothing is drawn on the meta device, so the seed of the next model's weights stays.
    with torch.device("meta"):
        try:
            model, arguments = _build(name, arguments)
            with DropoutWatch() as watch:
                called = _called_drop_paths(model, torch.empty(2, 3, side, side))
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
            # What timm's models raise, each in its own words, when an image is too small or no
            # multiple of their patches.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(
                f"{name} must be a classifier that takes images of {side} px, but: {reason}"
            ) from error
    shares = {n: m.drop_prob / _PROBE_RATE for n, m in called.items() if m.drop_prob > 0}
    info = _info(
        model,
        shares,
        takes_dropout=_PROBE_DROPOUT in watch.rates,
        fixed_dropout=max(watch.rates - {_PROBE_DROPOUT}, default=0.0),
        mean=cfg.mean,
        std=cfg.std,
    )
    return Probe(
        info=info,
        arguments={k: v for k, v in arguments.items() if k not in ("num_classes", "drop_rate")},
        shares=shares,
        dropout_places=places_of(model, _PROBE_DROPOUT),
    )


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
    while True:
        try:
            return timm.create_model(name, **arguments), arguments
        except TypeError as error:
            refused = [key for key in ("drop_path_rate", "drop_rate") if f"'{key}'" in str(error)]
            if not set(refused) & set(arguments):
                raise
        arguments = {key: value for key, value in arguments.items() if key not in refused}


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


def _info(model: nn.Module, shares: dict[str, float], **known: Any) -> ModelInfo:
    blocks: dict[str, float] = {}
    for name, share in shares.items():
        block = name.rpartition(".")[0]
        blocks[block] = max(blocks.get(block, 0.0), share)
    return ModelInfo(
        depth_shares=tuple(blocks.values()),
        num_params=sum(math.prod(p.shape) for p in model.parameters()),
        has_batch_norm=bool(tracked_norms(model)),
        has_output_bias=bool(output_biases(model, num_classes=_PROBE_CLASSES)),
        **known,
    )
