"""Timing of training steps and evaluation on this machine."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from spaces.recipe import Recipe
from trainable.accelerator import resolve
from trainable.data.datasets import Dataset
from trainable.data.memory import measured
from trainable.data.splits import Split
from trainable.gpu_memory import GpuMemory, free_cache, in_smaller_parts, measure
from trainable.measurement import EVAL_BATCH_SIZE
from trainable.precision import autocast_is_faster, emulates_bfloat16, resolve_amp_dtype
from trainable.trainer import Trainer

NUM_STEPS = 4
"""Number of timed steps, after one that is not timed."""
MOST_LEVELS = 3
"""Number of weight averages of a run of the experiment beside its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Times and memory, measured on a model trained for a few steps.

    Attributes:
        step_s: Seconds per optimizer step, data and augmentation included.
        evaluated_image_s: Seconds per evaluated image.
        grad_accum_steps: Parts that a batch had to be trained in to fit into the GPU's memory.
        memory: GPU memory; None on a CPU.
        state_bytes: Size of a checkpoint; 0 if it was not measured.
        host_bytes: Host memory of a trial beside its process; 0 if it was not measured.
    """

    step_s: float
    evaluated_image_s: float
    grad_accum_steps: int = 1
    memory: GpuMemory | None = None
    state_bytes: int = 0
    host_bytes: int = 0


def time_run(recipe: Recipe, dataset: Dataset, *, device: str, num_threads: int) -> Timing:
    """Time one training step and one evaluated image with as many threads as a trial has.

    Raises:
        torch.OutOfMemoryError: If not even the smallest parts of a batch fit into the GPU's memory.
    """
    while True:
        try:
            return _time_run(recipe, dataset, device=device, num_threads=num_threads)
        except torch.OutOfMemoryError:
            if (smaller := in_smaller_parts(recipe)) is None:
                raise
        # Outside of the except block, as the error keeps the memory of the failed step alive.
        recipe = smaller
        free_cache(device)


def _time_run(recipe: Recipe, dataset: Dataset, *, device: str, num_threads: int) -> Timing:
    short = _shortened(dataset, num_train=recipe.batch_size)
    with measured() as peak, _threads(num_threads):
        # As many epochs as are timed, or a short schedule would be over before.
        longer = replace(recipe, epochs=max(recipe.epochs, NUM_STEPS + 1))
        trainer = Trainer(longer, short, short.split, device=device)
        trainer.train_epoch()
        seconds = [trainer.train_epoch()["cost/train_s"] for _ in range(NUM_STEPS)]
        evaluated = trainer.measure("val")
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    averages = MOST_LEVELS * weights if resolve(device).type == "cpu" else 0
    return Timing(
        step_s=statistics.median(seconds),
        evaluated_image_s=evaluated.metrics["cost/eval_s"] / evaluated.num_images,
        grad_accum_steps=recipe.grad_accum_steps,
        memory=measure(device, more_bytes=MOST_LEVELS * weights),
        state_bytes=_size_of(trainer.state_dict()),
        host_bytes=0 if peak.num_bytes == 0 else peak.num_bytes + averages,
    )


def _size_of(state: object) -> int:
    """Add up the bytes of all tensors in nested containers."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_size_of, state.values()))
    return sum(map(_size_of, state)) if isinstance(state, (list, tuple)) else 0


def amp_dtype_of(recipe: Recipe, dataset: Dataset, *, device: str, num_threads: int) -> str:
    """Resolve the recipe's ``amp_dtype`` on this machine: ``auto`` becomes a dtype or ``none``.

    To be asked once per search: timing autocast again in every trial could fall out differently.
    """

    def is_faster() -> bool:
        if emulates_bfloat16():
            return False
        with _threads(num_threads):
            trainer = Trainer(replace(recipe, amp_dtype="none"), dataset, dataset.split)
            return autocast_is_faster(trainer.model.train(), trainer.batch(), pairs=1)

    dtype = resolve_amp_dtype(recipe.amp_dtype, resolve(device), probe=is_faster)
    return "none" if dtype is None else str(dtype).removeprefix("torch.")


def excerpt(dataset: Dataset, *, num_train: int) -> Dataset:
    """Cut a dataset to the images used for timing, small enough to be sent to another machine.

    Images that are decoded on access stay so: decoding is part of what is timed.
    """
    if not isinstance(dataset.images, np.ndarray):
        return dataset
    train, val = dataset.split.train[:num_train], dataset.split.val[:EVAL_BATCH_SIZE]
    chosen, numbers = np.concatenate([train, val]), np.arange(len(train) + len(val))
    split = Split(train=numbers[: len(train)], val=numbers[len(train) :], test=numbers[:0])
    return replace(
        dataset, images=dataset.images[chosen], labels=dataset.labels[chosen], split=split
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Use a trial's number of threads within the context, as the times depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shortened(dataset: Dataset, *, num_train: int) -> Dataset:
    """Cut a dataset to one batch for training and one for evaluation."""
    split = replace(
        dataset.split,
        train=dataset.split.train[:num_train],
        val=dataset.split.val[:EVAL_BATCH_SIZE],
    )
    return replace(dataset, split=split)
