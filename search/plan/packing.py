"""How many trials may share a GPU, and what is said of one that took too much of it."""

from math import floor

from spaces.errors import InputError
from trainable.gpu_memory import GpuMemory


def require_fitting(memory: GpuMemory | None, *, gpus_per_trial: float) -> None:
    """Refuse to pack more trials on a GPU than its memory holds.

    Args:
        memory: As measured; None without a GPU, where nothing is refused.
        gpus_per_trial: Share of a GPU that a trial gets.

    Raises:
        InputError: If they do not fit; it says how many do.
    """
    if memory is None or gpus_per_trial >= 1.0:
        return
    packed = floor(1 / gpus_per_trial + 1e-9)
    if packed <= memory.num_fitting:
        return
    fitting = max(1, memory.num_fitting)
    raise InputError(
        f"`gpus_per_trial` must leave each trial its {memory.trial / 2**30:.1f} GiB of GPU memory, "
        f"but {gpus_per_trial:g} packs {packed} trials into {memory.room / 2**30:.1f} GiB, where "
        f"{fitting} fit: give --gpus-per-trial {_share(fitting):g}, or a smaller --batch-size."
    )


def in_parts(who: str, batch_size: int, parts: int) -> str:
    """What is said where batches are trained in parts because the GPU's memory was too small."""
    return (
        f"{who} ran out of GPU memory: its batches of {batch_size} images are trained in {parts} "
        f"parts. The optimizer sees the same batches; batch norm sees about {batch_size // parts} "
        "images at a time, so where a model has it numbers are not those of whole batches."
    )


def _share(fitting: int) -> float:
    """The share that packs this many, in as few digits as do; Ray counts in ten-thousandths."""
    for digits in range(1, 5):
        scale: int = 10**digits
        share = -(-scale // fitting) / scale
        if floor(1 / share + 1e-9) == fitting:
            return share
    return 1 / fitting
