"""Conversion of batches, epochs and learning rates to the arguments of timm's ``train.py``."""

from typing import Any

from search.recipes.strict_yaml import number_text
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.optim.schedule import WSD_DECAY_FRACTION, warmup_steps_of

_MIXES_EVEN = "its MixUp and CutMix stop at a batch of odd length"


def batches(recipe: Recipe, task: Task, comments: list[str]) -> dict[str, Any]:
    """Make the arguments for batch and micro-batch; add differences to ``comments``."""
    batch_size, pieces = recipe.batch_size, recipe.grad_accum_steps
    mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
    reasons = []
    if batch_size > task.num_train:
        reasons.append("timm drops a last incomplete batch even where it is all there is")
        batch_size = task.num_train
    if mixes and batch_size % 2:
        reasons.append(_MIXES_EVEN)
        batch_size = max(2, batch_size - 1)
    if reasons:
        comments.append(
            f"batch_size is {batch_size} instead of {recipe.batch_size}: {', and '.join(reasons)}."
        )
    divisor = 2 if mixes else 1
    fitting = max(n for n in range(1, pieces + 1) if batch_size % (n * divisor) == 0)
    if fitting != pieces:
        comments.append(
            f"grad_accum_steps is {fitting} instead of {pieces}: timm's micro-batches, here of "
            f"{batch_size // fitting}, have equal lengths{f', and {_MIXES_EVEN}' if mixes else ''}."
        )
        pieces = fitting
    micro_batches = task.num_train // (batch_size // pieces)
    updates = -(-micro_batches // pieces)
    if updates != task.steps_per_epoch:
        comments.append(
            f"An epoch has {updates} updates instead of {task.steps_per_epoch}: timm drops "
            "incomplete micro-batches, here an incomplete batch is dropped."
        )
    return {"batch_size": batch_size // pieces, "grad_accum_steps": pieces}


def schedule(recipe: Recipe, task: Task, comments: list[str]) -> dict[str, Any]:
    """Make the arguments for epochs and learning rate; add differences to ``comments``."""
    per_epoch, total_steps = task.steps_per_epoch, task.total_steps
    warmup_steps = warmup_steps_of(recipe.strengths.warmup_fraction, total_steps)
    warmup_epochs = _warmup_epochs(warmup_steps, per_epoch, recipe.epochs)
    if warmup_epochs * per_epoch != warmup_steps:
        comments.append(
            f"Warmup takes {warmup_epochs * per_epoch} steps (epochs: {warmup_epochs}) instead of "
            f"{warmup_steps} steps: timm warms up for whole epochs."
        )
        warmup_steps = warmup_epochs * per_epoch
    args: dict[str, Any] = {
        "sched": "cosine",
        "sched_on_updates": True,
        "epochs": recipe.epochs - warmup_epochs,
        "warmup_epochs": warmup_epochs,
        "warmup_prefix": True,
        "warmup_lr": recipe.lr / (warmup_steps + 1),
        "min_lr": recipe.min_lr,
        "cooldown_epochs": 0,
    }
    cooldown_steps = min(round(WSD_DECAY_FRACTION * total_steps), total_steps - warmup_steps)
    if recipe.schedule == "one_cycle":
        comments.append(
            "timm has no one-cycle: a straight warmup and a cosine stand in, which start at "
            f"{number_text(args['warmup_lr'])} instead of lr / 25 and end a step later."
        )
    elif recipe.schedule == "wsd" and cooldown_steps:
        share = cooldown_steps / (total_steps - warmup_steps)
        comments.append(
            "sched: wsd needs timm 1.0.31 or newer; an older one trains at a constant rate."
        )
        args["sched"] = "wsd"
        # In timm, below 1 it is a share of the run after the warmup, from 1 on a number of epochs.
        args["decay_epochs"] = share if share < 1 else recipe.epochs - warmup_epochs
    elif recipe.schedule in ("constant", "wsd"):
        # Every timm knows a step schedule; `sched: constant` is new.
        args |= {"sched": "step", "decay_rate": 1.0, "decay_epochs": recipe.epochs}
    if recipe.optimizer == "adamw_schedulefree":
        comments.append("Schedule-free training has no schedule; adamw needs the one given here.")
    return args


def _warmup_epochs(warmup_steps: int, per_epoch: int, epochs: int) -> int:
    """Round the warmup to whole epochs: at least one if there is any, and fewer than all."""
    if warmup_steps == 0:
        return 0
    return min(max(1, round(warmup_steps / per_epoch)), epochs - 1)
