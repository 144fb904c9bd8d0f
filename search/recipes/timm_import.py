"""Conversion of a timm ``args.yaml`` into a recipe, with notes on what a recipe cannot express.

``train.py`` writes every argument of a run into ``args.yaml`` and reads the same keys back with
``--config``. A key that a file leaves out has the default of ``train.py``, which is seldom "off".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.recipes.timm_args import TimmArgs, shown
from search.recipes.timm_extras import (
    extras,
    leaves_drop_path_out,
    notes_on,
    own_drop_path,
    remarks,
)
from search.recipes.timm_keys import TRAIN_DEFAULTS
from search.recipes.timm_schedule import epochs_of, peak_lr, schedule_of
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.strengths.values import Strengths

RANDAUGMENT_SCALE = 3
"""Ratio of RandAugment's magnitudes: the largest is 30 in torchvision, 10 in timm."""

_RECIPE_KEYS = frozenset(Recipe().to_dict())
_TIMM_KEYS = frozenset(TRAIN_DEFAULTS)
_OF_THE_DATASET = ("model", "batch_size", "epochs", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A recipe, with the settings of its source that a recipe cannot express.

    Attributes:
        recipe: The most similar recipe.
        facts: Settings of the source in words: by recipe key if the recipe's value is only an
            approximation (``schedule: "step decay, times 0.1 every 30 epochs"``), or by timm's key
            if a recipe has none (``color_jitter: "0.4"``).
        notes: Sentences for the user on approximations, defaults and unknown keys.
        own_weights: Path of the weight file that the source starts from, which a recipe cannot
            name; empty if there is none.
    """

    recipe: Recipe
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    own_weights: str = ""


def looks_like_timm(data: Mapping[str, Any]) -> bool:
    """Whether at least two keys belong to ``train.py`` only, and none to recipes only."""
    keys = set(data)
    return len(keys & (_TIMM_KEYS - _RECIPE_KEYS)) >= 2 and not keys & (_RECIPE_KEYS - _TIMM_KEYS)


def describe_timm_args(args: Mapping[str, Any], *, defaults: Recipe) -> Described:
    """Convert arguments of ``train.py`` into a recipe, with notes on what cannot be expressed.

    Args:
        args: Values by key of ``train.py``; a missing one has the default of ``train.py``, except
            that model, epochs, batch size and seed come from ``defaults``.
        defaults: Recipe with those defaults; it also gives the image size if the arguments leave
            it to the model.

    Raises:
        InputError: If a value has the wrong type or is outside its interval.
    """
    given = TimmArgs(args, {name: getattr(defaults, name) for name in _OF_THE_DATASET})
    schedule, real_schedule = schedule_of(given)
    optimizer, real_optimizer = _optimizer(given)
    randaugment, real_randaugment = _randaugment(given)
    total_epochs, warmup_epochs = epochs_of(given)
    grad_accum_steps = given.integer("grad_accum_steps", 1)
    batch_size = given.integer("batch_size", 1) * grad_accum_steps
    has_ema = given.flag("model_ema")
    has_augmentation = not given.flag("no_aug")
    image_size, real_image_size = _image_size(given, defaults)
    weights_key, own_weights = _own_weights(given)
    lr = peak_lr(given, batch_size)
    strengths = Strengths(
        weight_decay=given.number("weight_decay", 0.0),
        label_smoothing=given.number("smoothing", 0.0, 1.0),
        drop_path_rate=_drop_path(given),
        ema_decay=given.number("model_ema_decay", 0.0, 1.0) if has_ema else 0.0,
        warmup_fraction=warmup_epochs / total_epochs,
    )
    recipe = Recipe(
        model=given.text("model"),
        pretrained=given.flag("pretrained") or bool(own_weights),
        image_size=image_size,
        epochs=total_epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        strengths=strengths,
        schedule=schedule,
        min_lr=min(given.number("min_lr", 0.0), lr),
        layer_decay=given.number("layer_decay", 0.0, 1.0, none=1.0),
        no_decay_split=given.mapping("opt_kwargs").get("filter_bias_and_bn", True) is not False,
        mixup_alpha=given.number("mixup", 0.0),
        cutmix_alpha=given.number("cutmix", 0.0),
        randaugment=randaugment if has_augmentation else None,
        crop_scale_min=given.numbers("scale", 0.0)[0] if has_augmentation else 1.0,
        hflip=given.number("hflip", 0.0, 1.0) if has_augmentation else 0.0,
        erasing=given.number("reprob", 0.0, 1.0) if has_augmentation else 0.0,
        dropout=given.number("drop", 0.0, 1.0),
        amp_dtype=_amp_dtype(given),
        grad_clip_norm=given.number("clip_grad", 0.0, none=0.0),
        grad_accum_steps=grad_accum_steps,
        compile=given["torchcompile"] is not None,
        seed=given.integer("seed", 0),
    )
    facts = {
        "schedule": real_schedule,
        "optimizer": real_optimizer,
        "pretrained": f"{weights_key} = {shown(own_weights)}" if own_weights else "",
        "image_size": real_image_size,
        "crop_scale_min": _largest_crop(given) if has_augmentation else "",
        "randaugment": real_randaugment if has_augmentation else "",
        "ema_decay": f"{given['model_ema_decay']} behind timm's own warmup of the decay"
        if has_ema and given.flag("model_ema_warmup")
        else "",
        **extras(given, recipe),
    }
    facts = {name: words for name, words in facts.items() if words}
    notes = (*notes_on(facts), *remarks(given, recipe, warmup_epochs), *given.notes())
    return Described(recipe=recipe, facts=facts, notes=notes, own_weights=own_weights)


_OPTIMIZERS = {
    "adam": "adam",
    "adamw": "adamw",
    "adamwlegacy": "adamw",
    "bnbadam": "adam",
    "bnbadamw": "adamw",
    "bnbsgd": "sgd",
    "fusedadam": "adam",
    "fusedadamw": "adamw",
    "fusedsgd": "sgd",
    "lion": "lion",
    "muon": "muon",
    "nesterov": "sgd",
    "sgd": "sgd",
}


def _optimizer(given: TimmArgs) -> tuple[str, str]:
    """Return our most similar optimizer, and timm's in words if it is another."""
    name = given.text("opt").lower()
    if name in _OPTIMIZERS:
        return _OPTIMIZERS[name], ""
    return ("sgd" if "sgd" in name or name == "momentum" else "adamw"), f"{name} of timm"


def _randaugment(given: TimmArgs) -> tuple[RandAugment | None, str]:
    """Return our RandAugment, and timm's policy in words if there is no similar one."""
    policy = given["aa"]
    if not policy:
        return None, ""
    if not str(policy).startswith("rand"):
        return None, f"{policy} of timm"
    numbers = dict(re.findall(r"-(m|n|p)(\d+\.?\d*)(?=-|$)", str(policy)))
    # timm skips each operation with probability 1/2 unless told otherwise; torchvision never does.
    applied = float(numbers.get("n", 2)) * float(numbers.get("p", 0.5))
    magnitude = float(numbers.get("m", 10)) * RANDAUGMENT_SCALE
    return RandAugment(num_ops=max(1, round(applied)), magnitude=min(30, round(magnitude))), ""


def _drop_path(given: TimmArgs) -> float:
    """Return the drop path rate; null is the architecture's own, which is not always 0."""
    if leaves_drop_path_out(given):
        return own_drop_path(given.text("model"))
    old_name = given["drop_path"] is None
    return given.number("drop_connect" if old_name else "drop_path", 0.0, 1.0)


def _own_weights(given: TimmArgs) -> tuple[str, str]:
    """Return key and path of the user's weight file that training starts from, or empty strings."""
    keys = ["initial_checkpoint"]
    if given.flag("pretrained"):  # Without this, train.py ignores the path.
        keys.append("pretrained_path")
    for key in keys:
        if given[key]:
            return key, given.text(key)
    return "", ""


def _largest_crop(given: TimmArgs) -> str:
    """Describe the random crops if the largest is not the whole image; else empty."""
    low, high = (*given.numbers("scale", 0.0), 1.0)[:2]
    return "" if high == 1 else f"crops of {low:g} to {high:g} of the area"


def _amp_dtype(given: TimmArgs) -> str:
    is_on = given.flag("amp") or given.flag("native_amp") or given.flag("apex_amp")
    return given.text("amp_dtype") if is_on else "none"


def _image_size(given: TimmArgs, defaults: Recipe) -> tuple[int, str]:
    """Return the side of the image, and the real size in words if it is not square."""
    if given["input_size"] is None:
        size = defaults.image_size if given["img_size"] is None else given.integer("img_size", 1)
        return size, ""
    sizes = [int(size) for size in given.numbers("input_size", 1)]
    if len(sizes) != 3:
        raise InputError(f"`input_size` must be channels, height and width, but got {sizes}.")
    _, height, width = sizes
    return width, "" if height == width else f"{height} x {width} pixels"
