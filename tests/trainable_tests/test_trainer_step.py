"""A run of the trainer against a loop of plain torch that one can read in a minute."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spaces.recipe import OPTIMIZERS, Recipe
from tests.support.toy_training import NUM_TRAIN, TOY, toy_dataset
from trainable.ema import OWN
from trainable.models.build import create_model, describe_model
from trainable.trainer import Trainer

DATASET = toy_dataset()
EPOCHS = 2
RECIPE = replace(TOY, epochs=EPOCHS, grad_clip_norm=0.0).with_strengths(
    drop_path_rate=0.0, ema_decay=0.8, warmup_fraction=0.34
)
WARMUP_STEPS, TOTAL_STEPS = 2, EPOCHS * NUM_TRAIN // RECIPE.batch_size


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rate(recipe: Recipe, step: int) -> float:
    """Linear up, then a cosine down to the smallest rate."""
    if step < WARMUP_STEPS:
        return recipe.lr * (step + 1) / (WARMUP_STEPS + 1)
    if recipe.schedule == "constant":
        return recipe.lr
    share = (step - WARMUP_STEPS) / (TOTAL_STEPS - WARMUP_STEPS)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * share))


def plainly_trained(recipe: Recipe) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Weights, their average, and the mean loss of each epoch."""
    torch.manual_seed(recipe.seed)
    model = create_model(recipe, num_classes=3).train()
    info = describe_model(recipe.model)
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (info.mean, info.std))
    parameters = list(model.parameters())
    decay = recipe.strengths.weight_decay
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
    )
    averages = [p.detach().clone() for p in parameters]
    losses, step = [], 0
    for epoch in range(EPOCHS):
        order = np.random.default_rng(1_000_003 * recipe.seed + epoch)
        shuffled = order.permutation(DATASET.split.train)
        sums = 0.0
        for batch in shuffled.reshape(-1, recipe.batch_size):
            bytes_ = torch.from_numpy(np.asarray(DATASET.images)[batch])
            images = (bytes_.permute(0, 3, 1, 2) / 255 - mean) / std
            labels = torch.from_numpy(DATASET.labels[batch])
            loss = F.cross_entropy(
                model(images), labels, label_smoothing=recipe.strengths.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch: untyped
            if recipe.grad_clip_norm:
                torch.nn.utils.clip_grad_norm_(parameters, recipe.grad_clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = rate(recipe, step)
            optimizer.step()
            step += 1
            for average, p in zip(averages, parameters, strict=True):
                average.mul_(recipe.strengths.ema_decay)
                average.add_(p.detach(), alpha=1 - recipe.strengths.ema_decay)
            sums += loss.item()
        losses.append(sums / len(shuffled) * recipe.batch_size)
    return [p.detach() for p in parameters], averages, losses


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"grad_clip_norm": 0.3},
        {"min_lr": 2e-3},
        {"schedule": "constant"},
        {"lr": 1e-2, "seed": 5},
    ],
)
def test_a_run_is_that_of_the_plain_loop(changed: dict[str, Any]) -> None:
    recipe = replace(RECIPE, **changed)
    weights, averages, losses = plainly_trained(recipe)
    run = Trainer(recipe, DATASET, DATASET.split)
    assert [run.train_epoch()["train/loss"] for _ in range(EPOCHS)] == pytest.approx(
        losses, rel=1e-4
    )
    own = run.ema.state_dict()["averages"][OWN]
    names = [name for name, _ in run.model.named_parameters()]
    # What the changes of the recipe do to a weight is a hundred times larger.
    for name, weight, average in zip(names, weights, averages, strict=True):
        live = run.model.get_parameter(name).detach()
        torch.testing.assert_close(live, weight, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(own[name], average, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_follows_the_schedule_and_the_schedule_free_one_only_the_warmup(
    optimizer: str,
) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, lr=1e-3, min_lr=1e-4)
    run = Trainer(recipe, DATASET, DATASET.split)
    rates: list[float] = []
    set_lr = run.optimizer.set_lr

    def recorded(lr: float) -> None:
        rates.append(lr)
        set_lr(lr)

    run.optimizer.set_lr = recorded  # type: ignore[method-assign]
    for _ in range(EPOCHS):
        run.train_epoch()
    free = optimizer == "adamw_schedulefree"
    expected = replace(recipe, schedule="constant") if free else recipe
    assert rates == pytest.approx([rate(expected, step) for step in range(TOTAL_STEPS)])


def test_schedule_free_weights_are_evaluated_with_statistics_of_their_own() -> None:
    """Those of the clean training images at the evaluated weights, all in one batch here."""
    run = Trainer(replace(RECIPE, optimizer="adamw_schedulefree"), DATASET, DATASET.split)
    run.train_epoch()
    run.evaluate("val")
    found = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    (images,) = run._measurement.clean_batches()
    norms = [m for m in run.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0  # The statistics of the last batch alone.
    run.model.train()
    with torch.no_grad():
        run.model(images)
    compared = [name for name in found if name.endswith(("running_mean", "running_var"))]
    assert len(compared) == 2 * len(norms) > 0
    for name, buffer in run.model.named_buffers():
        if name in compared:
            torch.testing.assert_close(found[name], buffer, rtol=1e-4, atol=1e-5)
