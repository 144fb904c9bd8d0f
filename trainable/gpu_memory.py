"""What a trial takes of a GPU's memory, how many fit, and what to do with one that does not."""

from dataclasses import dataclass, replace

import torch

from spaces.recipe import Recipe

CONTEXT_BYTES = 600 * 2**20
"""What a process takes beside its tensors, for the CUDA context and kernels; a cautious guess."""
PARTS = "train/grad_accum_steps"
"""Metric of a run whose batches had to be trained in more parts than its recipe says."""
SMALLEST_PART = 2
"""Images in a part of a batch; batch norm cannot be trained on one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuMemory:
    """Measured on a model trained for a few steps, in bytes.

    Attributes:
        reserved: Most that the trial's tensors and PyTorch's cache took.
        room: What trials and their contexts may take of the GPU, all together.
    """

    reserved: int
    room: int

    @property
    def trial(self) -> int:
        """What one trial takes, with its process."""
        return self.reserved + CONTEXT_BYTES

    @property
    def num_fitting(self) -> int:
        """Trials that fit on the GPU at once."""
        return self.room // self.trial


def measure(device: torch.device | str, *, more_bytes: int = 0) -> GpuMemory | None:
    """Read off what this process took of the GPU so far; None where there is no GPU.

    Args:
        device: Where it trains.
        more_bytes: What trials take beyond what was tried.
    """
    if torch.device(device).type != "cuda":
        return None
    reserved = torch.cuda.max_memory_reserved(device)
    free, _ = torch.cuda.mem_get_info(device)
    return GpuMemory(
        reserved=reserved + more_bytes,
        # What is taken now and not by this process is taken by others, and stays so.
        room=free + torch.cuda.memory_reserved(device) + CONTEXT_BYTES,
    )


def in_smaller_parts(recipe: Recipe) -> Recipe | None:
    """The same recipe with each batch trained in twice as many parts; None if none is smaller.

    The optimizer sees the same batches. Batch norm does not: it normalizes each part by itself.
    """
    parts = 2 * recipe.grad_accum_steps
    if recipe.batch_size // parts < SMALLEST_PART:
        return None
    return replace(recipe, grad_accum_steps=parts)


def free_cache(device: torch.device | str) -> None:
    """Hand what PyTorch keeps of the GPU back, for itself in other pieces or for others."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
