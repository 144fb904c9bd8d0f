"""Throughput of one GPU with many small trainings: trials per hour by number that share it.

    python -m benchmarks.steps.gpu_packing processes --packing 1 2 4 8
    python -m benchmarks.steps.gpu_packing stacked --packing 1 2 4 8 16

``processes``: so many processes train at once, each with its own model and `Trainer`, as trials
with ``--gpus-per-trial`` do. ``stacked``: one process trains so many models at once through
`torch.func.stack_module_state` and `torch.vmap`. It leaves out schedule, averaging, clipping and
augmentation, so what it gains is an upper bound, and all models share their hyperparameters.

A trial is as many steps as ``--steps`` says. The share of the peak is that of the floating-point
operations of forward and backward pass, against the largest matrix product that this GPU was seen
to do in the same precision.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.steps.step_models import random_dataset
from spaces.recipe import Recipe
from trainable.models.build import create_model
from trainable.trainer import Trainer

WARM_UP_STEPS = 10
DTYPES = {"none": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """The speed and memory of one packing.

    Attributes:
        packing: Number of trainings at once.
        steps_per_s: Optimizer steps of all of them together.
        memory_bytes: Most that they reserved of the GPU, without the contexts of processes.
    """

    packing: int
    steps_per_s: float
    memory_bytes: int


def train_for(recipe: Recipe, device: str, seconds: float, wait: Callable[[], Any]) -> Rate:
    """Train as a trial does.

    Args:
        recipe: What to train.
        device: Where.
        seconds: How long at least; ends with the epoch.
        wait: Called after the warm-up; returns when all others are there, too.
    """
    dataset = random_dataset(recipe)
    trainer = Trainer(replace(recipe, epochs=10**6), dataset, dataset.split, device=device)
    while trainer.precision.num_steps < WARM_UP_STEPS:
        trainer.train_epoch()
    wait()
    before, started = trainer.precision.num_steps, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        trainer.train_epoch()  # Waits for the device at its end.
    return Rate(
        packing=1,
        steps_per_s=(trainer.precision.num_steps - before) / passed,
        memory_bytes=torch.cuda.max_memory_reserved() if device == "cuda" else 0,
    )


def _child(recipe: Recipe, device: str, seconds: float, barrier: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    answers.put(train_for(recipe, device, seconds, barrier.wait))


def processes(recipe: Recipe, packing: int, *, device: str, seconds: float) -> Rate:
    """Train in so many processes at once."""
    context = mp.get_context("spawn")
    barrier, answers = context.Barrier(packing), context.SimpleQueue()
    children = [
        context.Process(target=_child, args=(recipe, device, seconds, barrier, answers))
        for _ in range(packing)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise RuntimeError(f"{packing} processes do not fit; see the traceback of one above.")
    rates = [answers.get() for _ in children]
    return Rate(
        packing=packing,
        steps_per_s=sum(rate.steps_per_s for rate in rates),
        memory_bytes=sum(rate.memory_bytes for rate in rates),
    )


class Stack:
    """Models of one kind, trained at once by one process; each has its own weights and images."""

    def __init__(self, models: Sequence[nn.Module], recipe: Recipe) -> None:
        self.parameters, self.buffers = stack_module_state(list(models))
        self._skeleton = copy.deepcopy(models[0]).to("meta").train()
        device = next(iter(self.parameters.values())).device
        self._autocast = torch.autocast(
            device.type, DTYPES[recipe.amp_dtype], enabled=recipe.amp_dtype != "none"
        )
        # Element by element as AdamW works, one optimizer of the stack is one for each model.
        self._optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=recipe.lr, weight_decay=recipe.strengths.weight_decay
        )

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step of each model on its own batch; returns the loss of each."""
        self._optimizer.zero_grad()
        with self._autocast:
            losses = torch.vmap(self._loss, randomness="different")(
                self.parameters, self.buffers, images, labels
            )
        losses.sum().backward()  # type: ignore[no-untyped-call]  # No model's loss depends on another's weights.
        self._optimizer.step()
        return losses.detach()

    def _loss(self, parameters: Any, buffers: Any, images: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(self._skeleton, (parameters, buffers), (images,))
        return F.cross_entropy(logits, labels)


def stacked(recipe: Recipe, packing: int, *, device: str, seconds: float) -> Rate:
    """Train so many models in one process."""
    dataset = random_dataset(recipe)
    models = [
        create_model(recipe, num_classes=len(dataset.class_names)).to(device)
        for _ in range(packing)
    ]
    stack = Stack(models, recipe)
    first = np.arange(recipe.batch_size)
    images = torch.as_tensor(dataset.images[first], device=device)
    images = images.permute(0, 3, 1, 2).float().div(127.5).sub(1).expand(packing, -1, -1, -1, -1)
    labels = torch.as_tensor(dataset.labels[first], device=device).expand(packing, -1)

    def steps(number: int) -> None:
        for _ in range(number):
            losses = stack.step(images, labels)
        losses.sum().item()  # Waits for the device.

    steps(WARM_UP_STEPS)
    number, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        steps(WARM_UP_STEPS)
        number += WARM_UP_STEPS
    memory = torch.cuda.max_memory_reserved() if device == "cuda" else 0
    return Rate(packing=packing, steps_per_s=packing * number / passed, memory_bytes=memory)


def flops_of_step(recipe: Recipe, num_classes: int = 10) -> int:
    """Floating-point operations of one forward and backward pass of a batch."""
    model = create_model(recipe, num_classes=num_classes).train()
    images = torch.zeros(recipe.batch_size, 3, recipe.image_size, recipe.image_size)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return int(counter.get_total_flops())


def peak_flops(device: str, dtype: torch.dtype, *, side: int = 8192, rounds: int = 20) -> float:
    """Operations per second of a large matrix product, the best of a few."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        (left @ right)[0, 0].item()
        best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best


def row(rate: Rate, *, steps: int, flops: int, peak: float) -> str:
    """A line of the table."""
    per_hour = 3600 * rate.steps_per_s / steps
    share = rate.steps_per_s * flops / peak
    gib = rate.memory_bytes / 2**30
    return f"| {rate.packing} | {rate.steps_per_s:.1f} | {per_hour:.0f} | {share:.1%} | {gib:.1f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of one way to pack."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps.gpu_packing")
    parser.add_argument("how", choices=("processes", "stacked"))
    parser.add_argument("--packing", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--amp-dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--steps", type=int, default=135, help="optimizer steps of one trial")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("A CUDA device must be at hand, but torch finds none here.", file=sys.stderr)
        return 2
    recipe = Recipe(
        model=asked.model,
        image_size=asked.image_size,
        batch_size=asked.batch_size,
        amp_dtype=asked.amp_dtype,
        lr=1e-3,
    )
    peak = peak_flops("cuda", DTYPES[asked.amp_dtype])
    flops = flops_of_step(recipe)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {asked.how}, {recipe.model}")
    print(f"{flops / 1e9:.2f} GFLOP a step, peak {peak / 1e12:.1f} TFLOP/s in {asked.amp_dtype}\n")
    print("| packing | steps/s | trials/h | share of peak | GiB |\n| --: | --: | --: | --: | --: |")
    measure = {"processes": processes, "stacked": stacked}[asked.how]
    for packing in asked.packing:
        rate = measure(recipe, packing, device="cuda", seconds=asked.seconds)
        print(row(rate, steps=asked.steps, flops=flops, peak=peak), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
