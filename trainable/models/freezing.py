"""Freezing of a pretrained model from its input on: parts that keep the weights they came with.

Stages are those of timm's ``group_matcher``: 0 is the stem (embeddings, in a transformer), then the
stages of a convolutional network or the blocks of a transformer. The classifier always trains. A
frozen part has no gradients and no state in the optimizer, and its BatchNorm keeps the pretrained
statistics (`trainable.batch_norm.tracked_norms` leaves it out).
"""

from typing import Any

from timm.models import group_parameters
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.models.probe import RESNET18_CIFAR
from trainable.optim.param_groups import has_layers


def freeze(model: nn.Module, recipe: Recipe) -> None:
    """Freeze the part of a model that a recipe asks for; nothing by default.

    Raises:
        InputError: If the recipe is not pretrained, or the model has no such stage.
    """
    if recipe.freeze == "none":
        return
    if not recipe.pretrained or recipe.model == RESNET18_CIFAR:  # The latter has no weights.
        raise InputError(
            f"`freeze` must be none without pretrained weights, but got {recipe.freeze!r}."
        )
    frozen = _frozen_names(model, recipe)
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def keep_frozen_statistics(model: nn.Module) -> None:
    """Put the BatchNorm of frozen parts into evaluation mode, after ``model.train()``."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.affine:
            module.train(module.training and module.weight.requires_grad)


def _frozen_names(model: nn.Module, recipe: Recipe) -> set[str]:
    classifier = _classifier_names(model)
    names = {name for name, _ in model.named_parameters()} - classifier
    if recipe.freeze == "all":
        return names
    if not has_layers(model):
        raise InputError(
            f"`freeze` must be none or all for {recipe.model}, which does not say what its stages "
            f"are, but got {recipe.freeze!r}."
        )
    group_matcher: Any = model.group_matcher
    stages: dict[str, int] = group_parameters(model, group_matcher(coarse=True), reverse=True)
    last, asked = max(stages[name] for name in names), int(recipe.freeze.removeprefix("until:"))
    if asked >= last:
        raise InputError(
            f"`until:0` to `until:{last - 1}` or all can be frozen of {recipe.model}, but `freeze` "
            f"is {recipe.freeze!r}."
        )
    return {name for name in names if stages[name] <= asked}


def _classifier_names(model: nn.Module) -> set[str]:
    get_classifier: Any = model.get_classifier
    head = get_classifier()
    heads = list(head) if isinstance(head, tuple | list) else [head]
    own = {id(parameter) for part in heads for parameter in part.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}
