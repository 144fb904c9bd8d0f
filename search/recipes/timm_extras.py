"""Settings of timm's ``args.yaml`` that a recipe cannot express, or that act differently here."""

from collections.abc import Mapping
from dataclasses import fields

from search.recipes.timm_args import TimmArgs, shown
from search.recipes.timm_roles import ALWAYS, DEPENDENT, DONE_OTHERWISE, WITH_AUGMENTATION, Off
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.values import STRENGTH_KEYS
from trainable.models.architecture import architecture
from trainable.models.probe import describe_model

MOMENTA = {"muon": 0.95, "sgd": 0.9}
"""Momentum of our optimizers; train.py uses 0.9 for all by default."""


def extras(given: TimmArgs, recipe: Recipe) -> dict[str, str]:
    """Collect the settings that are on in timm and have no key in a recipe, by timm's key."""
    off_at: Off = dict(ALWAYS)
    augments, policy = not given.flag("no_aug"), given["aa"]
    if augments:
        off_at |= WITH_AUGMENTATION
    # timm has no colour jitter if there is an augmentation policy.
    jitters = augments and (not policy or "3a" in str(policy))
    if jitters:
        off_at["color_jitter"] = (None, 0)
    if recipe.optimizer in MOMENTA:
        off_at["momentum"] = (MOMENTA[recipe.optimizer],)
    off_at["model_kwargs"] += ({"img_size": recipe.image_size},)
    for key in ("mean", "std"):
        off_at[key] += _of_the_model(recipe.model, key, given.peek(key))
    on = {
        "clip_grad": recipe.grad_clip_norm > 0,
        "color_jitter": jitters and bool(given.peek("color_jitter")),
        "cosine": recipe.schedule == "cosine",
        "crops": recipe.crop_scale_min < 1,
        "layer_decay": recipe.layer_decay < 1,
        "mixing": recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0,
        "plateau": given.peek("sched") == "plateau",
        "reprob": recipe.erasing > 0,
        "restarts": given.peek("lr_cycle_limit") not in (0, 1),
    }
    for switch, keys in DEPENDENT.items():
        if on.get(switch, True) and (switch in on or given.peek(switch)):
            off_at |= keys
    left_out = {key for key, off in off_at.items() if given.peek(key) not in off}
    given.settle(off_at, told=left_out)
    return {key: shown(given.peek(key)) for key in sorted(left_out)} | _parts(given)


def _parts(given: TimmArgs) -> dict[str, str]:
    """Collect the unused parts of keys that are used in part."""
    found = {}
    channels = given["in_chans"]
    if channels is None and given["input_size"] is not None:
        channels = given.numbers("input_size", 1)[0]
    if channels not in (None, 3):
        found["in_chans"] = shown(channels)
    options = {k: v for k, v in given.mapping("opt_kwargs").items() if k != "filter_bias_and_bn"}
    if options:
        found["opt_kwargs"] = shown(options)
    return found


def _of_the_model(model: str, key: str, value: object) -> tuple[object, ...]:
    """Return the value if it equals the model's own, which is used here, else nothing."""
    if not isinstance(value, (list, tuple)):
        return ()
    try:
        own = getattr(describe_model(model), key)
    except InputError:
        return ()
    # One number stands for all channels.
    return (value,) if tuple(value) * (3 if len(value) == 1 else 1) == tuple(own) else ()


def notes_on(facts: Mapping[str, str]) -> list[str]:
    """Write a sentence on each setting that a recipe does not hold."""
    held = {f.name for f in fields(Recipe)} | set(STRENGTH_KEYS)
    return [
        f"`{name}` is only a stand-in: the file says {words}."
        if name in held
        else f"`{name}` = {words} of timm has no counterpart in a recipe."
        for name, words in facts.items()
    ]


def remarks(given: TimmArgs, recipe: Recipe, warmup_epochs: int) -> list[str]:
    """Write sentences on settings of a recipe that act differently here than in timm."""
    found = []
    if recipe.schedule == "cosine" and warmup_epochs and not given.flag("warmup_prefix"):
        found.append(
            f"timm's cosine runs on under the warmup: after it, the rate is {warmup_epochs} epochs "
            "down its curve; here it starts from the peak (`warmup_prefix`)."
        )
    if recipe.randaugment is not None:
        ours = recipe.randaugment
        found.append(
            f"timm's {given['aa']} becomes RandAugment({ours.num_ops}, {ours.magnitude}) of "
            "torchvision: as many operations on average, at nearly the same strength."
        )
    if not given.flag("sched_on_updates") and recipe.schedule != "constant":
        found.append("timm moves the learning rate once an epoch, here every step moves it.")
    if given["img_size"] is None and given["input_size"] is None:
        found.append(f"The file leaves the image size to the model; {recipe.image_size} is used.")
    return [*found, *_done_otherwise(given, recipe, warmup_epochs), *_drop_path(given, recipe)]


def _done_otherwise(given: TimmArgs, recipe: Recipe, warmup_epochs: int) -> list[str]:
    """Write a sentence on each key that the file sets to a behaviour that this project lacks."""
    mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
    idle = {
        "remode": not recipe.erasing,
        "mixup_mode": not mixes,
        "mixup_elem": not mixes,
        "train_interpolation": recipe.crop_scale_min == 1,
        "warmup_lr": not warmup_epochs,
    }
    counts = {key: value for key, value in DONE_OTHERWISE.items() if not idle.get(key, False)}
    not_followed = {
        key: words
        for key, (ours, words) in counts.items()
        if key in given and given.peek(key) not in (ours, None, "")
    }
    given.settle(counts, told=not_followed)
    return [
        f"`{key}` = {shown(given.peek(key))} is not followed: here {words}."
        for key, words in not_followed.items()
    ]


def _drop_path(given: TimmArgs, recipe: Recipe) -> list[str]:
    """Write a sentence on the origin of the drop path rate if its own key is not given."""
    rate = f"{recipe.strengths.drop_path_rate:g}"
    if not leaves_drop_path_out(given):
        is_old = given.peek("drop_path") is None
        ignored = "train.py of today ignores `drop_connect`, its old name for `drop_path`"
        return [f"{ignored}; {rate} is used."] if is_old else []
    if not recipe.strengths.drop_path_rate:
        return []
    return [
        f"No `drop_path` is given: timm then trains {recipe.model} with the rate of its "
        f"architecture, {rate}."
    ]


def leaves_drop_path_out(given: TimmArgs) -> bool:
    """Whether a file leaves the drop path rate to the architecture, as null does."""
    return given["drop_path"] is None and given["drop_connect"] is None


def own_drop_path(model: str) -> float:
    """Return the default drop path rate of timm's architecture; 0 if it is not installed."""
    try:
        return architecture(model).drop_path_rate
    except InputError:
        return 0.0
