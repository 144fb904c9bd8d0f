"""What an ``args.yaml`` of timm says that a recipe cannot hold, or holds in another sense."""

from collections.abc import Mapping
from dataclasses import fields

from search.recipes.timm_args import TimmArgs
from spaces.recipe import Recipe
from spaces.strengths.values import STRENGTH_KEYS

MOMENTA = {"muon": 0.95, "sgd": 0.9}
"""Momentum of our optimizers; train.py hands every one that has a momentum 0.9 unless told."""

_ALWAYS_OFF_AT: dict[str, tuple[object, ...]] = {
    "aug_repeats": (0,),
    "aug_splits": (0,),
    "bce_loss": (False,),
    "bn_eps": (None,),
    "bn_momentum": (None,),
    "cutmix_minmax": (None,),
    "drop": (0,),
    "drop_block": (None, 0),
    "epoch_repeats": (0,),
    "head_init_bias": (None,),
    "head_init_scale": (None,),
    "jsd_loss": (False,),
    "kd_model_name": (None,),
    "lr_noise": (None,),
    "opt_betas": (None,),
    "opt_eps": (None,),
    "train_img_sizes": (None,),
}
_AUGMENTATION_OFF_AT: dict[str, tuple[object, ...]] = {
    "gaussian_blur_prob": (None, 0),
    "grayscale_prob": (None, 0),
    "train_crop_mode": (None, "", "rrc"),
    "vflip": (0,),
}
_MIX_OFF_AT: dict[str, tuple[object, ...]] = {
    "mixup_off_epoch": (0,),
    "mixup_prob": (1,),
    "mixup_switch_prob": (0.5,),
}


def extras(given: TimmArgs, recipe: Recipe) -> dict[str, str]:
    """What is switched on in timm and has no key in a recipe, by timm's key."""
    off_at = dict(_ALWAYS_OFF_AT)
    if not given.flag("no_aug"):
        off_at |= _AUGMENTATION_OFF_AT
        policy = given["aa"]
        if not policy or "3a" in str(policy):  # timm leaves the jitter out under a policy.
            off_at["color_jitter"] = (None, 0)
    if recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0:
        off_at |= _MIX_OFF_AT
    if recipe.optimizer in MOMENTA:
        off_at["momentum"] = (MOMENTA[recipe.optimizer],)
    if recipe.grad_clip_norm > 0:
        off_at["clip_mode"] = ("norm",)
    if recipe.schedule == "cosine":
        off_at["lr_k_decay"] = (1,)
    if recipe.layer_decay < 1:
        off_at["layer_decay_min_scale"] = (None, 0)
    return {
        key: str(given.peek(key))
        for key, off in sorted(off_at.items())
        if given.peek(key) not in off
    }


def notes_on(facts: Mapping[str, str]) -> list[str]:
    """One sentence for each thing that a recipe does not hold."""
    held = {f.name for f in fields(Recipe)} | set(STRENGTH_KEYS)
    return [
        f"`{name}` is only a stand-in: the file says {words}."
        if name in held
        else f"`{name}` = {words} of timm has no counterpart in a recipe."
        for name, words in facts.items()
    ]


def remarks(given: TimmArgs, recipe: Recipe, warmup_epochs: int) -> list[str]:
    """Sentences on what a recipe holds, and this project carries out otherwise than timm."""
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
    return found
