"""How long a run will take, from a few timed steps."""

import os

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.verdict.design import EMA_FACTOR, cells
from trainable.timing import Timing

STARTUP_S = 25.0
"""Starting Ray, its workers and the tracking store; measured 20 to 30 s on 2 cores."""
OVERHEAD = 1.15
"""What a core-second of training costs in all, with waiting at the end of each stage."""


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
    total_s += 4 * config.confirm_seeds * (short_s + test_s)
    return STARTUP_S + OVERHEAD * total_s / num_workers(config)


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
        import torch

        return max(1, int(torch.cuda.device_count() / config.gpus_per_trial))
    return max(1, int((os.cpu_count() or 1) / config.cpus_per_trial))


def _kept(plan: Plan, config: RunConfig) -> float:
    """Mean share of its full length that a trial of the search trains for."""
    share, trained, before = 1.0, 0.0, 0
    for rung in (*plan.rungs, plan.task.epochs):
        trained += share * (rung - before)
        share, before = share * config.keep, rung
    return trained / plan.task.epochs
