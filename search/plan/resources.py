"""Resources of a run: machines and devices, and the number of concurrent trials."""

import os
from collections.abc import Callable
from functools import partial
from math import floor
from typing import ParamSpec, TypeVar

from search.plan.config import RunConfig
from spaces.errors import InputError
from trainable import accelerator
from trainable.gpu_memory import GpuMemory

P = ParamSpec("P")
T = TypeVar("T")


def has_own_gpu() -> bool:
    """Tell whether this machine has a GPU on which trials can run."""
    return accelerator.kind() is not None


def require_places(config: RunConfig) -> None:
    """Raise if a trial asks for more than one GPU, or for more than this machine has.

    It would leave the other GPUs idle, or wait for ever.

    Raises:
        InputError: If it does.
    """
    if config.gpus_per_trial > 1:
        raise InputError(
            "`gpus_per_trial <= 1` must hold, for one trial on several GPUs is not built: each GPU "
            f"trains a trial of its own, but got {config.gpus_per_trial:g}."
        )
    if config.ray_address:
        return
    if accelerator.kind() == "mps" and 0 < config.gpus_per_trial < 1:
        raise InputError(
            "`gpus_per_trial` must be 0 or 1 on an Apple GPU, which one trial uses at a time, but "
            f"got {config.gpus_per_trial:g}."
        )
    num_cpus, num_gpus = os.cpu_count() or 1, accelerator.num_devices()
    for name, has in (("cpus_per_trial", num_cpus), ("gpus_per_trial", num_gpus)):
        if getattr(config, name) > has:
            raise InputError(
                f"`{name} <= {has}` must hold on this machine, but got {getattr(config, name):g}."
            )


def where_trials_run(
    config: RunConfig, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function on a machine on which trials run, with the resources of a trial.

    Without a cluster that is this machine. With one, the driver may be on a head without a GPU, so
    the function is sent to a node.
    """
    if not config.ray_address:
        return function(*args, **kwargs)
    # Imported here, for Ray takes a second to import and only clusters need it for planning.
    from search.engine.cluster import call_where_trials_fit

    return call_where_trials_fit(
        partial(function, *args, **kwargs),
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
    )


def num_threads(config: RunConfig) -> int:
    """Return the number of compute threads of a trial."""
    return max(1, int(config.cpus_per_trial))


def device_of(config: RunConfig) -> str:
    """Return the device of the trials, as `trainable.accelerator` names it."""
    return accelerator.device_for(config.gpus_per_trial)


def require_fitting(memory: GpuMemory | None, *, gpus_per_trial: float) -> None:
    """Raise if the trials that share a GPU need more memory than it has.

    Args:
        memory: Measured memory; None without a GPU, and then nothing is checked.
        gpus_per_trial: Share of a GPU per trial.

    Raises:
        InputError: If they do not fit; the message names the number that does.
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
    """Write the warning that batches are trained in parts because GPU memory is too small."""
    return (
        f"{who} ran out of GPU memory: its batches of {batch_size} images are trained in {parts} "
        f"parts. The optimizer sees the same batches; batch norm sees about {batch_size // parts} "
        "images at a time, so where a model has it numbers are not those of whole batches."
    )


def num_workers(config: RunConfig) -> int:
    """Count the trials that run at once, on this machine or on the cluster's present nodes."""
    if config.ray_address:
        from search.engine.cluster import num_places

        return max(
            1,
            num_places(cpus_per_trial=config.cpus_per_trial, gpus_per_trial=config.gpus_per_trial),
        )
    if config.gpus_per_trial > 0:
        return max(1, int(accelerator.num_devices() / config.gpus_per_trial))
    return max(1, int((os.cpu_count() or 1) / config.cpus_per_trial))


def _share(fitting: int) -> float:
    """Return the GPU share by which ``fitting`` trials fit, in the fewest digits (at most 4)."""
    for digits in range(1, 5):
        scale: int = 10**digits
        share = -(-scale // fitting) / scale
        if floor(1 / share + 1e-9) == fitting:
            return share
    return 1 / fitting
