"""Published recipes as references: what a user would otherwise run, copied onto their own images.

`reference` puts the published strengths, optimizer, schedule and augmentation over the user's base
recipe, and keeps its model, image size, epochs, batch size, learning rate, pretraining, precision
and seed. A user's own recipe file is a reference too: `spaces.recipe.Recipe.from_dict` reads it.
"""

from collections.abc import Callable
from dataclasses import replace

from spaces.errors import InputError
from spaces.published import Published
from spaces.published_imagenet import (
    convnext_tiny,
    deit_small,
    imagenet,
    rsb_a1,
    rsb_a2,
    rsb_a3,
    swin_tiny,
    timm_defaults,
    torchvision,
)
from spaces.published_transfer import augreg_finetune, bit_hyperrule
from spaces.recipe import Recipe

_REFERENCES: dict[str, Callable[[], Published]] = {
    "imagenet": imagenet,
    "convnext_tiny": convnext_tiny,
    "deit_small": deit_small,
    "swin_tiny": swin_tiny,
    "rsb_a1": rsb_a1,
    "rsb_a2": rsb_a2,
    "rsb_a3": rsb_a3,
    "torchvision": torchvision,
    "augreg_finetune": augreg_finetune,
    "timm_defaults": timm_defaults,
}
REFERENCE_NAMES = (*_REFERENCES, "bit_hyperrule")
"""Names that `reference` and `published` accept."""


def reference(name: str, base: Recipe, *, num_train: int) -> Recipe:
    """Apply the published recipe of this name to ``base``.

    Where the published optimizer is another than the base's, the base's learning rate means
    nothing to it: the published peak is taken instead, scaled linearly with the batch size (Goyal
    et al. 2017, arXiv 1706.02677). The schedule ends at the published share of its peak.

    Args:
        name: One of `REFERENCE_NAMES`.
        base: The user's recipe; keeps what the module's docstring says.
        num_train: Training images, which BiT-HyperRule goes by.

    Raises:
        InputError: If the name is unknown.
    """
    original = published(name, num_train=num_train)
    changes = {field: getattr(original.recipe, field) for field in original.transferable}
    lr = base.lr
    if changes.get("optimizer", base.optimizer) != base.optimizer:
        lr = original.recipe.lr * base.batch_size / original.recipe.batch_size
    if "schedule" in changes:
        changes |= {"lr": lr, "min_lr": lr * original.recipe.min_lr / original.recipe.lr}
    return replace(base, **changes)


def published(name: str, *, num_train: int = 1) -> Published:
    """Look up the published recipe of this name.

    Args:
        name: One of `REFERENCE_NAMES`.
        num_train: Training images, which BiT-HyperRule goes by; by default its smallest class.

    Raises:
        InputError: If the name is unknown.
    """
    if name == "bit_hyperrule":
        return bit_hyperrule(num_train)
    if name not in _REFERENCES:
        raise InputError(f"Unknown reference {name!r}; known are {', '.join(REFERENCE_NAMES)}.")
    return _REFERENCES[name]()
