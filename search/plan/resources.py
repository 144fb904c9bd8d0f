"""Resources of a run: machines and devices, number of concurrent trials, expected time."""

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
"""Number of fresh seeds of the recipes that are confirmed for comparison only."""
STARTUP_S = 25.0
"""Seconds to start Ray, its workers and the tracking store; measured 20 to 30 on 2 cores."""
OVERHEAD = 1.15
"""Factor from training time to total time, which includes waiting at the end of each stage."""


def require_places(config: RunConfig) -> None:
    """Raise if a trial needs more cores or GPUs than this machine has, and would wait for ever.

    Raises:
        InputError: If it needs more of either.
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
    """Return the device of the trials: ``cuda`` or ``cpu``."""
    return "cuda" if config.gpus_per_trial > 0 else "cpu"


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


def estimate_s(plan: Plan, config: RunConfig, timing: Timing) -> float:
    """Estimate the wall-clock time of a whole run in seconds.

    It assumes that the share ``keep`` of the trials passes each rung.
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
    """Count the runs of the confirm stage if no two of its five recipes are equal."""
    return 2 * config.confirm_seeds + 3 * min(config.confirm_seeds, FEW_SEEDS)


def usual_runs_per_block(plan: Plan) -> int:
    """Count the runs of one block if reference and best differ in all names that get a dial."""
    return len(cells(tuple(name for name in plan.dial_names if name != EMA_FACTOR), block=0))


def num_workers(config: RunConfig) -> int:
    """Count the trials that run at once, on this machine or on the cluster's present nodes."""
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
    """Estimate the mean share of its full length that a proposed trial trains for."""
    share, trained, before = 1.0, 0.0, 0
    for rung in (*plan.rungs, plan.task.epochs):
        trained += share * (rung - before)
        share, before = share * config.keep, rung
    return trained / plan.task.epochs


def _share(fitting: int) -> float:
    """Return the GPU share by which ``fitting`` trials fit, in the fewest digits (at most 4)."""
    for digits in range(1, 5):
        scale: int = 10**digits
        share = -(-scale // fitting) / scale
        if floor(1 / share + 1e-9) == fitting:
            return share
    return 1 / fitting
