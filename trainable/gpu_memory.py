"""GPU memory: use of a trial, number of trials that fit, and smaller parts of batches."""

from dataclasses import dataclass, replace

import torch

from spaces.recipe import Recipe
from trainable.accelerator import resolve

CONTEXT_BYTES = 600 * 2**20
"""Bytes of a process beside its tensors, for CUDA context and kernels; a cautious guess."""
PARTS = "train/grad_accum_steps"
"""Metric that a run reports if its batches are trained in more parts than in its recipe."""
SMALLEST_PART = 2
"""Smallest number of images in a part of a batch; batch norm cannot train on one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuMemory:
    """GPU memory in bytes, measured on a model trained for a few steps.

    Attributes:
        reserved: Largest memory of the trial's tensors and PyTorch's cache.
        room: Memory for all trials and their contexts together.
    """

    reserved: int
    room: int

    @property
    def trial(self) -> int:
        """Bytes of one trial with its process."""
        return self.reserved + CONTEXT_BYTES

    @property
    def num_fitting(self) -> int:
        """Number of trials that fit on the GPU at once."""
        return self.room // self.trial


def measure(device: torch.device | str, *, more_bytes: int = 0) -> GpuMemory | None:
    """Measure this process's largest GPU memory so far; None on any device but a CUDA one.

    Args:
        device: Device of the training.
        more_bytes: Bytes that trials need in addition to the measured run.
    """
    device = resolve(device)
    if device.type != "cuda":
        return None
    reserved = torch.cuda.max_memory_reserved(device)
    free, _ = torch.cuda.mem_get_info(device)
    return GpuMemory(
        reserved=reserved + more_bytes,
        # What is taken now and not by this process is taken by others, and stays so.
        room=free + torch.cuda.memory_reserved(device) + CONTEXT_BYTES,
    )


def in_smaller_parts(recipe: Recipe) -> Recipe | None:
    """Return the recipe with batches trained in twice as many parts; None if that is impossible.

    The optimizer sees the same batches. Batch norm does not: it normalizes each part by itself.
    """
    parts = 2 * recipe.grad_accum_steps
    if recipe.batch_size // parts < SMALLEST_PART:
        return None
    return replace(recipe, grad_accum_steps=parts)


def free_cache(device: torch.device | str) -> None:
    """Free the GPU memory that PyTorch caches."""
    if resolve(device).type != "cpu":
        torch.accelerator.empty_cache()
