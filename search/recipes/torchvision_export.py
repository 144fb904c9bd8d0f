"""Export of a recipe as flags of torchvision's ``references/classification/train.py``.

Flags as of torchvision 0.14 and newer. The script changes the learning rate once per epoch, applies
weight decay to all parameters unless three flags exclude some, and rescales the decay of its
average by ``world size * batch size * model_ema_steps / epochs``; the flags here compensate for the
last two. It has no flag for stochastic depth, dropout, crops, flips, layer-wise rates, accumulated
gradients or a seed.
"""

import warnings
from collections.abc import Sequence

import torch
import torchvision
from torch import nn

from search.recipes.model_remarks import on_freezing, on_logits, on_statistics, settled
from search.recipes.strict_yaml import comment_block, number_text
from search.records.command_line import quoted
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.optim.schedule import warmup_steps_of

CROP_SCALE_MIN = 0.08
"""Smallest share of the area of the script's random resized crop, which has no flag."""
HFLIP = 0.5
"""Probability of the script's horizontal flip, which has no flag either."""

_MODELS = {
    "resnet18_cifar": "resnet18",
    "swin_tiny_patch4_window7_224": "swin_t",
    "vit_base_patch16_224": "vit_b_16",
}
_OPTIMIZERS = {"adamw": "adamw", "sgd": "sgd_nesterov"}


def torchvision_flags(
    recipe: Recipe, *, num_train: int, num_classes: int, of_data: Sequence[str] = ()
) -> str:
    """Write the command for one process, with the differences in comments above it.

    Args:
        recipe: The recipe.
        num_train: Number of training images.
        num_classes: Number of classes.
        of_data: Sentences on differences in reading the dataset.

    Raises:
        InputError: If there are no images or fewer than 2 classes.
    """
    task = Task.of(recipe, num_train=num_train, num_classes=num_classes, num_blocks=0)
    comments: list[str] = []
    flags = [
        "--data-path DATA",
        *_model(recipe, num_classes, comments),
        f"--epochs {recipe.epochs}",
        f"--batch-size {recipe.batch_size}",
        *_optimizer(recipe, comments),
        *_schedule(recipe, task, comments),
        f"--label-smoothing {_text(recipe.strengths.label_smoothing)}",
        *_average(recipe, comments),
        *_augmentation(recipe, comments),
        *_precision(recipe, comments),
    ]
    _remarks(recipe, task, comments)
    heading = [
        "For references/classification/train.py of torchvision, one process; DATA holds train/ and",
        "val/, each with a folder per class. With n processes, divide --batch-size by n.",
        "",
        "What the script does differently:",
        *(f"- {comment}" for comment in [*comments, *of_data]),
    ]
    return comment_block(heading) + " \\\n    ".join(["torchrun train.py", *flags]) + "\n"


def _model(recipe: Recipe, num_classes: int, comments: list[str]) -> list[str]:
    known = torchvision.models.list_models(module=torchvision.models)
    name = _MODELS.get(recipe.model, recipe.model if recipe.model in known else "")
    ours, own = settled(recipe).dropout or 0.0, _own_dropout(name) if name else 0.0
    if ours != own:
        comments.append(
            f"There is no flag for dropout: {name or 'a model'} of torchvision has {_text(own)}, "
            f"the recipe {_text(ours)}; set it where the model is built, if it takes it."
        )
    if not name:
        comments.append(f"torchvision has no {recipe.model}; put one of its own for MODEL.")
    elif name != recipe.model:
        comments.append(f"{name} is torchvision's model nearest to {recipe.model}.")
    flags = [f"--model {quoted(name or 'MODEL')}"]
    if recipe.pretrained and num_classes == 1000:
        flags.append("--weights DEFAULT")
    elif recipe.pretrained:
        comments.append(
            "The script loads pretrained weights only with their own 1000 classes, so it starts "
            "from scratch; to fine-tune, replace the classifier where it builds the model."
        )
    comments += on_freezing(recipe)
    size = recipe.image_size
    return [
        *flags,
        f"--train-crop-size {size}",
        f"--val-resize-size {size}",
        f"--val-crop-size {size}",
    ]


def _own_dropout(name: str) -> float:
    """Return the default dropout of a model in torchvision."""
    with torch.device("meta"), warnings.catch_warnings():
        # Some of its models warn that their initialization will change.
        warnings.simplefilter("ignore", FutureWarning)
        model = torchvision.models.get_model(name)
    rates = [
        float(module.p)
        for module_name, module in model.named_modules()
        # Auxiliary heads have other rates.
        if isinstance(module, nn.Dropout) and not module_name.startswith("aux")
    ]
    return max(rates, default=0.0)


def _optimizer(recipe: Recipe, comments: list[str]) -> list[str]:
    if recipe.optimizer not in _OPTIMIZERS:
        comments.append(
            f"The script has no {recipe.optimizer}: adamw stands in for it, and --lr and "
            "--weight-decay need a search of their own."
        )
    flags = [
        f"--opt {_OPTIMIZERS.get(recipe.optimizer, 'adamw')}",
        f"--lr {_text(recipe.lr)}",
        f"--weight-decay {_text(recipe.strengths.weight_decay)}",
    ]
    if recipe.optimizer == "sgd":
        flags.append("--momentum 0.9")
    if recipe.no_decay_split:
        flags += [
            "--norm-weight-decay 0",
            "--bias-weight-decay 0",
            "--transformer-embedding-decay 0",
        ]
    if recipe.grad_clip_norm > 0:
        flags.append(f"--clip-grad-norm {_text(recipe.grad_clip_norm)}")
    return flags


def _schedule(recipe: Recipe, task: Task, comments: list[str]) -> list[str]:
    warmup_steps = warmup_steps_of(recipe.strengths.warmup_fraction, task.total_steps)
    warmup_epochs = round(warmup_steps / task.steps_per_epoch)
    if warmup_steps:
        warmup_epochs = min(max(1, warmup_epochs), recipe.epochs - 1)
    comments.append(
        "The learning rate moves once an epoch, not every step; a warmup epoch runs at about the "
        "mean of its steps here."
    )
    if warmup_epochs * task.steps_per_epoch != warmup_steps:
        comments.append(
            f"Warmup takes whole epochs ({warmup_epochs}) instead of {warmup_steps} steps."
        )
    flags = []
    if warmup_epochs:
        flags += [
            f"--lr-warmup-epochs {warmup_epochs}",
            "--lr-warmup-method linear",
            # The script trains the whole first epoch at the rate of its first step.
            f"--lr-warmup-decay {_text(1 / (2 * warmup_epochs))}",
        ]
    if recipe.schedule == "constant":
        return [*flags, "--lr-scheduler steplr", f"--lr-step-size {recipe.epochs}", "--lr-gamma 1"]
    if recipe.schedule != "cosine":
        comments.append(f"The script has no {recipe.schedule} schedule: cosine stands in for it.")
    return [*flags, "--lr-scheduler cosineannealinglr", f"--lr-min {_text(recipe.min_lr)}"]


def _average(recipe: Recipe, comments: list[str]) -> list[str]:
    decay = recipe.strengths.ema_decay
    if decay == 0:
        return []
    if recipe.strengths.warmup_fraction > 0:
        comments.append("The average is reset at every step of the warmup, so it starts after it.")
    # The script averages with 1 - (1 - flag) * batch_size * steps / epochs.
    flag = 1 - (1 - decay) * recipe.epochs / recipe.batch_size
    comments.append(
        f"The script turns --model-ema-decay {_text(flag)} into {_text(decay)} a step, with one "
        "process."
    )
    comments += on_statistics(recipe)
    return ["--model-ema", "--model-ema-steps 1", f"--model-ema-decay={_text(flag)}"]


def _augmentation(recipe: Recipe, comments: list[str]) -> list[str]:
    flags = [
        "--interpolation bilinear",
        f"--mixup-alpha {_text(recipe.mixup_alpha)}",
        f"--cutmix-alpha {_text(recipe.cutmix_alpha)}",
        f"--random-erase {_text(recipe.erasing)}",
    ]
    if recipe.randaugment is not None:
        flags += ["--auto-augment ra", f"--ra-magnitude {recipe.randaugment.magnitude}"]
        if recipe.randaugment.num_ops != 2:
            comments.append(f"RandAugment applies 2 operations, not {recipe.randaugment.num_ops}.")
    if recipe.crop_scale_min != CROP_SCALE_MIN:
        comments.append(
            f"Random crops keep at least {CROP_SCALE_MIN} of the area, not "
            f"{_text(recipe.crop_scale_min)}: change RandomResizedCrop in presets.py."
        )
    if recipe.hflip != HFLIP:
        comments.append(
            f"Images are flipped with probability {HFLIP}, not {_text(recipe.hflip)}: change "
            "hflip_prob in presets.py."
        )
    if recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0:
        comments.append("MixUp and CutMix draw one share a batch, here each image has its own.")
    return flags


def _precision(recipe: Recipe, comments: list[str]) -> list[str]:
    if recipe.amp_dtype == "none":
        return []
    if recipe.amp_dtype != "float16":
        comments.append(f"--amp is float16, not {recipe.amp_dtype}; leave it out on a CPU.")
    return ["--amp"]


def _remarks(recipe: Recipe, task: Task, comments: list[str]) -> None:
    comments.append(
        "There is no flag for stochastic depth: set stochastic_depth_prob to "
        f"{_text(recipe.strengths.drop_path_rate)} where the model is built, if it takes it."
    )
    if recipe.layer_decay < 1:
        comments.append(f"layer_decay {_text(recipe.layer_decay)} is lost.")
    if recipe.class_weighting:
        comments.append(
            f"class_weighting {recipe.class_weighting:.6g} is lost: give CrossEntropyLoss in "
            "train.py a `weight` for each class, which comes near it."
        )
    comments += on_logits(recipe)
    if recipe.grad_accum_steps > 1:
        comments.append(f"grad_accum_steps {recipe.grad_accum_steps} is lost: whole batches.")
    if task.num_train % recipe.batch_size:
        comments.append("The last incomplete batch of an epoch is trained on, here it is dropped.")
    comments.append("Images are normalized with ImageNet's mean and deviation, whatever the model.")
    comments.append("The random seed cannot be set.")


def _text(value: float) -> str:
    return number_text(float(value))
