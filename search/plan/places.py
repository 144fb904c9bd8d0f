"""Where trials train: on which device, with how many threads, on this machine or on a cluster."""

import os
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import torch

from search.plan.config import RunConfig
from spaces.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


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
