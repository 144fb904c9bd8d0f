"""Export of a recipe as the YAML file for ``--config`` of timm's ``train.py``.

Settings for which the script has another default are written, also if they are off. Settings that
it does not have are approximated, with a comment. Traps, by key:

- ``epochs`` does not include the warmup (``warmup_prefix``), and ``warmup_epochs`` is an integer.
- ``warmup_lr`` is the rate of the first step: ``lr / (W + 1)`` with W warmup steps, so it depends
  on the number of images.
- With MixUp or CutMix, a batch or micro-batch of odd length stops the script with an error.
- ``clip_grad: 0`` would clip every gradient to nothing; off is null.
- ``drop_path``, even 0, is an error for a model without drop path; off is null. For other models
  null is the architecture's own rate, which is not always 0.
- ``drop`` is 0 by default, even if the architecture has a dropout of its own.
- The average holds BatchNorm's statistics averaged like the weights; nothing measures them anew.
- ``model_ema_warmup`` makes the decay irrelevant below 353 000 steps, so it stays off.
- RandAugment of magnitude 10, also reached by ``mstd``, stops the script with an error.
- A schedule with a name that timm does not know trains at a constant rate without an error.

One function per group of keys, each beside its traps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timm.models import get_pretrained_cfg

from search.recipes.model_remarks import on_freezing, on_logits, on_statistics, settled
from search.recipes.strict_yaml import comment_block, to_yaml
from search.recipes.timm_export_steps import batches, schedule
from search.recipes.timm_extras import MOMENTA
from search.recipes.timm_import import RANDAUGMENT_SCALE
from search.recipes.timm_keys import TIMM_COMMIT, TIMM_VERSION, TRAIN_DEFAULTS
from search.records.command_line import command_line
from search.records.files import write_text
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.models.build import describe_model

Args = dict[str, Any]

_OPTIMIZERS = {
    "adam": "adam",
    "adamw": "adamw",
    "lion": "lion",
    "muon": "muon",
    "sgd": "sgd",
}
_STAND_IN_MODELS = {"resnet18_cifar": "resnet18"}
_LARGEST_MAGNITUDE = 9
"""At 10 timm 1.0.31 asks for an image without any bits left, and Pillow 13 raises a ValueError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimmExport:
    """Arguments of ``train.py``, with comments on what they cannot express.

    Attributes:
        args: Values by key of ``train.py``.
        comments: Sentences on differences; empty if timm trains exactly this recipe.
    """

    args: Args
    comments: tuple[str, ...]


def timm_args(recipe: Recipe, *, num_train: int, num_classes: int) -> TimmExport:
    """Make the arguments of ``train.py`` that train ``recipe`` on ``num_train`` images, one device.

    Raises:
        InputError: If there are no images, fewer than 2 classes, or the model does not exist.
    """
    task = Task.of(recipe, num_train=num_train, num_classes=num_classes, num_blocks=0)
    comments: list[str] = []
    args = {
        **_model(recipe, num_classes, comments),
        **batches(recipe, task, comments),
        **_optimizer(recipe, comments),
        **schedule(recipe, task, comments),
        **_loss_and_average(recipe, comments),
        **_augmentation(recipe, comments),
        **_precision(recipe, comments),
        "seed": recipe.seed,
    }
    unknown = sorted(set(args) - set(TRAIN_DEFAULTS))
    assert not unknown, f"train.py would ignore {unknown} without a word"
    return TimmExport(args=args, comments=tuple(comments))


def write_timm(path: Path, export: TimmExport, *, of_data: Sequence[str] = ()) -> None:
    """Write the file for ``--config``, with the differences in comments above the values.

    Args:
        path: Path of the file.
        export: Arguments and comments.
        of_data: Sentences on differences in reading the dataset.
    """
    heading = [
        f"For train.py of timm, keys as of {TIMM_VERSION} (commit {TIMM_COMMIT[:8]}), one device:",
        f"  {command_line(['python', 'train.py', '--config', path.name, '--data-dir', 'DATA'])}",
        "DATA holds train/ and val/, each with a folder per class.",
    ]
    if export.comments:
        heading += ["", "What timm does differently:"]
        heading += [f"- {comment}" for comment in export.comments]
    if of_data:
        heading += ["", "What timm does differently with this dataset:"]
        heading += [f"- {remark}" for remark in of_data]
    write_text(path, comment_block(heading) + to_yaml(export.args))


def _model(recipe: Recipe, num_classes: int, comments: list[str]) -> Args:
    model = _STAND_IN_MODELS.get(recipe.model, recipe.model)
    if model != recipe.model:
        comments.append(f"{recipe.model} is this project's; {model} has a stem for large images.")
    comments += on_freezing(recipe)
    drop_path: float | None = recipe.strengths.drop_path_rate
    if not describe_model(model).takes_drop_path:
        if drop_path:
            comments.append(f"{model} takes no drop path, so drop_path_rate {drop_path:g} is lost.")
        drop_path = None
    args: Args = {
        "model": model,
        "pretrained": recipe.pretrained,
        "num_classes": num_classes,
        "img_size": recipe.image_size,
        "crop_pct": 1.0,  # By default timm enlarges images and crops their border for evaluation.
        "drop_path": drop_path,
        # By default train.py switches off the dropout of the architecture.
        "drop": settled(replace(recipe, model=model)).dropout or 0.0,
    }
    config = get_pretrained_cfg(model, allow_unregistered=True)
    if config and config.fixed_input_size and config.input_size[-1] != recipe.image_size:
        # train.py resizes the images to img_size, but does not tell the model.
        args["model_kwargs"] = {"img_size": recipe.image_size}
    return args


def _optimizer(recipe: Recipe, comments: list[str]) -> Args:
    name = recipe.optimizer
    if name not in _OPTIMIZERS:
        comments.append(
            f"timm has no {name}: adamw stands in for it, and lr and weight_decay, tuned for "
            f"{name}, need a search of their own."
        )
    args: Args = {
        "opt": _OPTIMIZERS.get(name, "adamw"),
        "lr": recipe.lr,
        "weight_decay": recipe.strengths.weight_decay,
        "layer_decay": recipe.layer_decay if recipe.layer_decay < 1 else None,
        "clip_grad": recipe.grad_clip_norm or None,
        "clip_mode": "norm",
    }
    if name in MOMENTA:
        args["momentum"] = MOMENTA[name]
    if not recipe.no_decay_split:
        # create_optimizer_v2 takes it, though train.py has no argument of its own for it.
        args["opt_kwargs"] = {"filter_bias_and_bn": False}
        comments.append(
            "timm still spares what a model lists in no_weight_decay() (position embeddings, say)."
        )
    return args


def _loss_and_average(recipe: Recipe, comments: list[str]) -> Args:
    decay = recipe.strengths.ema_decay
    if decay > 0:
        comments.append(
            "The average starts at the weights after the first update, here at those before it; "
            "train.py evaluates both the weights and the average, and reports the average."
        )
        comments += on_statistics(recipe)
    if recipe.class_weighting:
        comments.append(
            f"class_weighting {recipe.class_weighting:.6g} is lost: to train.py every image weighs "
            "the same, and no key changes that."
        )
    comments += on_logits(recipe)
    return {
        "smoothing": recipe.strengths.label_smoothing,
        "bce_loss": False,
        "model_ema": decay > 0,
        **({"model_ema_decay": decay} if decay > 0 else {}),
        "model_ema_warmup": False,
    }


def _augmentation(recipe: Recipe, comments: list[str]) -> Args:
    policy = None
    if recipe.randaugment is not None:
        ours = recipe.randaugment
        magnitude = min(_LARGEST_MAGNITUDE, round(ours.magnitude / RANDAUGMENT_SCALE))
        policy = f"rand-m{magnitude}-n{ours.num_ops}-p1.0-mstd0-inc1"
        comments.append(
            f"RandAugment({ours.num_ops}, {ours.magnitude}) of torchvision (out of 30) becomes "
            f"{policy} of timm (out of 10, whole, at most 9): nearly the same operations at nearly "
            "the same strength, always applied."
        )
    crops = recipe.crop_scale_min < 1
    return {
        "no_aug": False,
        "scale": [recipe.crop_scale_min, 1.0],
        "ratio": list(TRAIN_DEFAULTS["ratio"]) if crops else [1.0, 1.0],
        "hflip": recipe.hflip,
        "vflip": 0.0,
        "color_jitter": 0.0,
        "aa": policy,
        "reprob": recipe.erasing,
        "remode": "const",  # The mean color, as here; timm's default fills with noise.
        "train_interpolation": "bilinear",
        "mixup": recipe.mixup_alpha,
        "cutmix": recipe.cutmix_alpha,
        "mixup_mode": "elem",  # A share for each image, as here.
    }


def _precision(recipe: Recipe, comments: list[str]) -> Args:
    dtype = recipe.amp_dtype
    if dtype == "auto":
        dtype = "bfloat16"
        comments.append(
            "amp_dtype auto becomes bfloat16; write float16 for a GPU older than Ampere, and amp: "
            "false for a CPU."
        )
    return {
        "amp": dtype != "none",
        **({"amp_dtype": dtype} if dtype != "none" else {}),
        "channels_last": True,
        "torchcompile": "inductor" if recipe.compile else None,
    }
