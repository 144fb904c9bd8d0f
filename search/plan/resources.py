"""What a run takes of the machines it runs on: where trials train, how many fit, for how long."""

import os
from collections.abc import Callable
from functools import partial
from math import floor
from typing import ParamSpec, TypeVar

import torch

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.verdict.design import EMA_FACTOR, cells
from spaces.errors import InputError
from trainable.gpu_memory import GpuMemory
from trainable.timing import Timing

P = ParamSpec("P")
T = TypeVar("T")

FEW_SEEDS = 3
"""Fresh seeds of a recipe that is only confirmed to compare with."""
STARTUP_S = 25.0
"""Starting Ray, its workers and the tracking store; measured 20 to 30 s on 2 cores."""
OVERHEAD = 1.15
"""What a core-second of training costs in all, with waiting at the end of each stage."""


def require_places(config: RunConfig) -> None:
    """Refuse a trial that would wait for ever for what this machine does not have.

    Raises:
        InputError: If a trial asks for more cores or GPUs than there are.
    """
    if config.ray_address:
        return
    num_cpus, num_gpus = os.cpu_count() or 1, torch.cuda.device_count()
    for name, has in (("cpus_per_trial", num_cpus), ("gpus_per_trial", num_gpus)):
        if getattr(config, name) > has:
            raise InputError(
                f"`{name} <= {has}` must hold on this machine, but got {getattr(config, name):g}."
            )


def where_trials_run(
    config: RunConfig, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function on a machine that trials run on, with what a trial gets.

    The machine of the driver is one of them, or the head of a cluster, perhaps without a GPU.
    """
    if not config.ray_address:
        return function(*args, **kwargs)
    # Ray takes a second to import, and only a cluster needs it to plan.
    from search.engine.cluster import call_where_trials_fit

    return call_where_trials_fit(
        partial(function, *args, **kwargs),
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
    )


def num_threads(config: RunConfig) -> int:
    """Compute threads of a trial."""
    return max(1, int(config.cpus_per_trial))


def device_of(config: RunConfig) -> str:
    """Where trials train."""
    return "cuda" if config.gpus_per_trial > 0 else "cpu"


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


def estimate_s(plan: Plan, config: RunConfig, timing: Timing) -> float:
    """Expected wall-clock of a whole run in seconds.

    Early stopping is taken to keep the share ``keep`` of the trials at each rung.
    """
    task = plan.task
    evaluated_s = 4 * plan.data.num_val * timing.evaluated_image_s
    full_s = task.total_steps * timing.step_s + len(plan.eval_epochs) * evaluated_s
    short_s = task.total_steps * timing.step_s + 2 * evaluated_s
    total_s = 0.0
    if "search" in config.stages:
        proposed = max(0, config.num_samples - len(plan.anchors))
        reruns = 2 * config.rerun_top - 1 if config.rerun_top > 1 else 0
        total_s += (len(plan.anchors) + proposed * _kept(plan, config)) * full_s + reruns * short_s
    total_s += usual_runs_per_block(plan) * config.min_blocks * short_s
    test_s = 2 * plan.data.num_test * timing.evaluated_image_s
    total_s += usual_confirm_runs(config) * (short_s + test_s)
    return STARTUP_S + OVERHEAD * total_s / num_workers(config)


def usual_confirm_runs(config: RunConfig) -> int:
    """Runs of the confirm stage if no two of its five recipes are equal."""
    return 2 * config.confirm_seeds + 3 * min(config.confirm_seeds, FEW_SEEDS)


def usual_runs_per_block(plan: Plan) -> int:
    """Runs of one block if all that gets a dial differs, for estimates before a best is known."""
    return len(cells(tuple(name for name in plan.dial_names if name != EMA_FACTOR), block=0))


def num_workers(config: RunConfig) -> int:
    """Trials that run at once, on this machine or on the nodes that the cluster has now."""
    if config.ray_address:
        from search.engine.cluster import num_places

        return max(
            1,
            num_places(cpus_per_trial=config.cpus_per_trial, gpus_per_trial=config.gpus_per_trial),
        )
    if config.gpus_per_trial > 0:
        return max(1, int(torch.cuda.device_count() / config.gpus_per_trial))
    return max(1, int((os.cpu_count() or 1) / config.cpus_per_trial))


def _kept(plan: Plan, config: RunConfig) -> float:
    """Mean share of its full length that a trial of the search trains for."""
    share, trained, before = 1.0, 0.0, 0
    for rung in (*plan.rungs, plan.task.epochs):
        trained += share * (rung - before)
        share, before = share * config.keep, rung
    return trained / plan.task.epochs


def _share(fitting: int) -> float:
    """The share that packs this many, in as few digits as do; Ray counts in ten-thousandths."""
    for digits in range(1, 5):
        scale: int = 10**digits
        share = -(-scale // fitting) / scale
        if floor(1 / share + 1e-9) == fitting:
            return share
    return 1 / fitting
