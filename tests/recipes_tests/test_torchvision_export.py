"""The command for torchvision's reference script, by what that script makes of its flags."""

import argparse
import shlex
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR

from search.recipes.torchvision_export import torchvision_flags
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from spaces.strengths.values import Strengths
from spaces.task import Task
from trainable.optim.schedule import lr_factor, warmup_steps_of

RECIPE = Recipe(
    model="resnet50",
    image_size=160,
    epochs=12,
    batch_size=8,
    lr=2e-3,
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.05,
        ema_decay=0.995,
        warmup_fraction=3 / 12,
    ),
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    crop_scale_min=0.08,
    hflip=0.5,
    erasing=0.1,
    amp_dtype="float16",
)


def parser() -> argparse.ArgumentParser:
    """The flags of the script that the export uses, with the script's own names and types."""
    flags = argparse.ArgumentParser(exit_on_error=False)
    for name in ("data-path", "model", "weights", "opt", "lr-scheduler", "lr-warmup-method"):
        flags.add_argument(f"--{name}", type=str)
    for name in ("auto-augment", "interpolation"):
        flags.add_argument(f"--{name}", type=str)
    for name in ("train-crop-size", "val-resize-size", "val-crop-size", "epochs", "batch-size"):
        flags.add_argument(f"--{name}", type=int)
    for name in ("lr-step-size", "model-ema-steps", "ra-magnitude"):
        flags.add_argument(f"--{name}", type=int)
    for name in ("lr", "weight-decay", "norm-weight-decay", "bias-weight-decay", "lr-min"):
        flags.add_argument(f"--{name}", type=float)
    for name in ("transformer-embedding-decay", "label-smoothing", "mixup-alpha", "cutmix-alpha"):
        flags.add_argument(f"--{name}", type=float)
    for name in ("lr-warmup-decay", "lr-gamma", "model-ema-decay", "random-erase", "momentum"):
        flags.add_argument(f"--{name}", type=float)
    flags.add_argument("--clip-grad-norm", type=float)
    flags.add_argument("--lr-warmup-epochs", type=int, default=0)
    for name in ("model-ema", "amp"):
        flags.add_argument(f"--{name}", action="store_true")
    return flags


def text_of(recipe: Recipe, *, num_train: int = 80, num_classes: int = 1000) -> str:
    return torchvision_flags(recipe, num_train=num_train, num_classes=num_classes)


def script_args(
    recipe: Recipe, *, num_train: int = 80, num_classes: int = 1000
) -> argparse.Namespace:
    text = text_of(recipe, num_train=num_train, num_classes=num_classes)
    # A shell joins continued lines, shlex does not.
    words = shlex.split(text.replace("\\\n", ""), comments=True)
    assert words[:2] == ["torchrun", "train.py"]
    return parser().parse_args(words[2:])


def rate_of_each_epoch(args: argparse.Namespace) -> list[float]:
    """The schedule as the script builds it, moved once an epoch."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=args.lr)
    warmup = args.lr_warmup_epochs
    scheduler: LRScheduler
    if args.lr_scheduler == "steplr":
        scheduler = StepLR(optimizer, step_size=args.lr_step_size, gamma=args.lr_gamma)
    else:
        scheduler = CosineAnnealingLR(optimizer, T_max=args.epochs - warmup, eta_min=args.lr_min)
    if warmup:
        linear = LinearLR(optimizer, start_factor=args.lr_warmup_decay, total_iters=warmup)
        scheduler = SequentialLR(optimizer, [linear, scheduler], milestones=[warmup])
    rates = []
    for _ in range(args.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def our_rates(recipe: Recipe, num_train: int) -> list[list[float]]:
    """The rates of the steps of each epoch."""
    task = Task.of(recipe, num_train=num_train, num_classes=10, num_blocks=0)
    per_epoch, total = task.steps_per_epoch, task.total_steps
    warmup = warmup_steps_of(recipe.strengths.warmup_fraction, total)
    rates = [
        recipe.lr
        * lr_factor(
            step,
            schedule=recipe.schedule,
            total_steps=total,
            warmup_steps=warmup,
            min_factor=recipe.min_lr / recipe.lr,
        )
        for step in range(total)
    ]
    return [rates[i : i + per_epoch] for i in range(0, total, per_epoch)]


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("warmup_epochs", [0, 1, 3])
@pytest.mark.parametrize("min_lr", [0.0, 1e-4])
def test_each_epoch_has_the_rate_of_its_first_step_and_warmup_the_mean(
    schedule: str, warmup_epochs: int, min_lr: float
) -> None:
    recipe = replace(RECIPE, schedule=schedule, min_lr=min_lr).with_strengths(
        warmup_fraction=warmup_epochs / 12
    )
    theirs = rate_of_each_epoch(script_args(recipe, num_train=800))
    ours = our_rates(recipe, 800)
    for epoch in range(warmup_epochs, 12):
        assert theirs[epoch] == pytest.approx(ours[epoch][0])
    for epoch in range(warmup_epochs):
        mean = sum(ours[epoch]) / len(ours[epoch])
        assert theirs[epoch] == pytest.approx(mean, abs=0.17 * recipe.lr)
    if warmup_epochs:  # A first epoch at the rate of the first step would be a wasted one.
        assert theirs[0] == pytest.approx(sum(ours[0]) / len(ours[0]), rel=0.05)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
@pytest.mark.parametrize(("epochs", "batch_size"), [(12, 8), (600, 1024), (300, 8)])
def test_the_average_has_our_decay_after_the_script_has_rescaled_it(
    decay: float, epochs: int, batch_size: int
) -> None:
    recipe = replace(RECIPE, epochs=epochs, batch_size=batch_size).with_strengths(ema_decay=decay)
    args = script_args(recipe, num_train=8000)
    adjust = 1 * args.batch_size * args.model_ema_steps / args.epochs  # The script, one process.
    used = 1.0 - min(1.0, (1.0 - args.model_ema_decay) * adjust)
    assert args.model_ema
    assert args.model_ema_steps == 1
    assert used == pytest.approx(decay, abs=1e-9)


def test_without_an_average_there_is_none() -> None:
    assert not script_args(RECIPE.with_strengths(ema_decay=0.0)).model_ema


def test_what_the_script_has_a_flag_for_arrives() -> None:
    args = script_args(replace(RECIPE, randaugment=RandAugment(num_ops=2, magnitude=9)))
    assert args.model == "resnet50"
    assert (args.epochs, args.batch_size, args.lr) == (12, 8, 2e-3)
    assert (args.train_crop_size, args.val_resize_size, args.val_crop_size) == (160, 160, 160)
    assert args.opt == "adamw"
    assert (args.weight_decay, args.norm_weight_decay, args.bias_weight_decay) == (0.05, 0, 0)
    assert args.transformer_embedding_decay == 0
    assert args.label_smoothing == 0.1
    assert (args.mixup_alpha, args.cutmix_alpha, args.random_erase) == (0.2, 1.0, 0.1)
    assert (args.auto_augment, args.ra_magnitude) == ("ra", 9)
    assert args.clip_grad_norm == 1.0
    assert args.amp


def test_without_the_split_everything_decays() -> None:
    args = script_args(replace(RECIPE, no_decay_split=False, grad_clip_norm=0.0))
    assert args.norm_weight_decay is None
    assert args.clip_grad_norm is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "no flag for stochastic depth: set stochastic_depth_prob to 0.05"),
        ({}, "moves once an epoch"),
        ({}, "average is reset at every step of the warmup"),
        ({"optimizer": "lion"}, "no lion: adamw stands in"),
        ({"schedule": "one_cycle"}, "no one_cycle schedule"),
        ({"layer_decay": 0.8}, "layer_decay 0.8 is lost"),
        ({"class_weighting": 0.999}, "class_weighting 0.999 is lost"),
        ({"logit_adjustment": 1.0}, "logit_adjustment 1 is lost: the script ships outputs as"),
        ({"grad_accum_steps": 2}, "grad_accum_steps 2 is lost"),
        ({"hflip": 0.0}, "flipped with probability 0.5, not 0.0"),
        ({"crop_scale_min": 1.0}, "keep at least 0.08 of the area, not 1.0"),
        ({"randaugment": RandAugment(num_ops=1)}, "2 operations, not 1"),
        ({"amp_dtype": "bfloat16"}, "--amp is float16, not bfloat16"),
        ({"model": "tf_efficientnet_lite0"}, "torchvision has no tf_efficientnet_lite0"),
        ({"model": "resnet18_cifar"}, "resnet18 is torchvision's model nearest to"),
        ({"batch_size": 7}, "last incomplete batch"),
        (
            {"model": "resnet18", "dropout": 0.3},
            "no flag for dropout: resnet18 of torchvision has 0.0, the recipe 0.3",
        ),
        ({"model": "vgg11"}, "vgg11 of torchvision has 0.5, the recipe 0.0"),
        ({"model": "ghostnet_050"}, "a model of torchvision has 0.0, the recipe 0.2"),
    ],
)
def test_what_the_script_has_no_flag_for_is_said(changes: dict[str, object], said: str) -> None:
    recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
    comments = [line for line in text_of(recipe).splitlines() if line.startswith("#")]
    assert said in "\n".join(comments)
    untold = text_of(replace(RECIPE, amp_dtype="none"))
    assert (said in untold) == (changes == {})


def test_a_warmup_of_broken_epochs_becomes_whole_ones_and_says_so() -> None:
    recipe = RECIPE.with_strengths(warmup_fraction=0.05)  # 6 of 120 steps, 10 a epoch.
    assert script_args(recipe).lr_warmup_epochs == 1
    assert "Warmup takes whole epochs (1) instead of 6 steps" in text_of(recipe)


def test_pretrained_weights_are_asked_for_only_where_the_script_can_load_them() -> None:
    recipe = replace(RECIPE, pretrained=True)
    assert script_args(recipe, num_classes=1000).weights == "DEFAULT"
    assert script_args(recipe, num_classes=10).weights is None
    assert "starts from scratch" in text_of(recipe, num_classes=10)


def test_bad_sizes_are_input_errors() -> None:
    with pytest.raises(InputError, match="num_train >= 1"):
        text_of(RECIPE, num_train=0)
