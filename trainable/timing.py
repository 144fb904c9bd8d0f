"""How long a training step and an evaluated image take on this machine, by doing a few."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from spaces.recipe import Recipe
from trainable.datasets import Dataset
from trainable.precision import autocast_is_faster, resolve_amp_dtype
from trainable.trainer import EVAL_BATCH_SIZE, Trainer

NUM_STEPS = 4
"""Timed steps, after one that is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Measured on a model trained for a few steps.

    Attributes:
        step_s: Seconds per optimizer step, data and augmentation included.
        evaluated_image_s: Seconds per evaluated image.
    """

    step_s: float
    evaluated_image_s: float


def time_run(recipe: Recipe, dataset: Dataset, *, device: str, num_threads: int) -> Timing:
    """Time one training step and one evaluated image with as many threads as a trial has."""
    short = _shortened(dataset, num_train=recipe.batch_size)
    with _threads(num_threads):
        # As many epochs as are timed, or a short schedule would be over before.
        longer = replace(recipe, epochs=max(recipe.epochs, NUM_STEPS + 1))
        trainer = Trainer(longer, short, short.split, device=device)
        trainer.train_epoch()
        seconds = [trainer.train_epoch()["cost/train_s"] for _ in range(NUM_STEPS)]
        started = time.perf_counter()
        trainer.by_image("val")
        evaluated_s = (time.perf_counter() - started) / len(short.split.val)
    return Timing(step_s=statistics.median(seconds), evaluated_image_s=evaluated_s)


def amp_dtype_of(recipe: Recipe, dataset: Dataset, *, device: str, num_threads: int) -> str:
    """What the recipe's ``amp_dtype`` means here, ``auto`` replaced by ``none`` or a dtype's name.

    To be asked once per search: timing autocast again in every trial could fall out differently.
    """

    def is_faster() -> bool:
        with _threads(num_threads):
            trainer = Trainer(replace(recipe, amp_dtype="none"), dataset, dataset.split)
            return autocast_is_faster(trainer.model.train(), trainer.batch(), pairs=1)

    dtype = resolve_amp_dtype(recipe.amp_dtype, torch.device(device), probe=is_faster)
    return "none" if dtype is None else str(dtype).removeprefix("torch.")


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """As many threads as a trial has: with more, the answer would be another one."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shortened(dataset: Dataset, *, num_train: int) -> Dataset:
    """The dataset with one batch to train on and one to evaluate, so that an epoch is a step."""
    split = replace(
        dataset.split,
        train=dataset.split.train[:num_train],
        val=dataset.split.val[:EVAL_BATCH_SIZE],
    )
    return replace(dataset, split=split)
