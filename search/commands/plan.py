"""``make plan``: print the plan of a run and the expected time, without starting it."""

from rich.console import Console

from search.commands.console import make_console, say
from search.plan.config import RunConfig
from search.plan.holdings import holdings
from search.plan.machine import this_machine
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.plan.resources import (
    device_of,
    in_parts,
    num_threads,
    num_workers,
    require_fitting,
    where_trials_run,
)
from search.plan.room import needs_of, require_room
from search.plan.stage_size import StageSize, estimate_s, search_sizes
from search.plan.text import plan_text
from trainable.data.datasets import Dataset
from trainable.precision import Diverged
from trainable.timing import Timing, excerpt, time_run


def print_plan(
    config: RunConfig, *, console: Console | None = None
) -> tuple[Plan, list[StageSize]]:
    """Make and print the plan of a run.

    Args:
        config: Settings of the run.
        console: Console to print to; None for standard output.

    Returns:
        The plan and the sizes of its stages.

    Raises:
        InputError: If a setting is wrong.
    """
    if config.ray_address:
        from search.engine.cluster import connect

        connect(config.ray_address)
    plan, dataset = make_plan(config)
    return plan, show(console or make_console(), config, plan, dataset)


def show(console: Console, config: RunConfig, plan: Plan, dataset: Dataset) -> list[StageSize]:
    """Print a plan with the expected time, estimated from a few timed steps.

    Returns:
        The sizes of the stages, without seconds if the reference diverges in the timed steps.

    Raises:
        InputError: If more trials would share a GPU than fit into its memory, or the trials do not
            fit into this machine's memory or their checkpoints onto its disk.
    """
    timing: Timing | None = None
    machine, workers = this_machine(config), num_workers(config)
    try:
        timing = where_trials_run(
            config,
            time_run,
            plan.reference,
            excerpt(dataset, num_train=plan.reference.batch_size),
            device=device_of(config),
            num_threads=num_threads(config),
        )
    except Diverged as error:
        say(console, f"The reference diverges at once: {error}", style="yellow")
    if timing is not None:
        require_fitting(timing.memory, gpus_per_trial=config.gpus_per_trial)
        if timing.grad_accum_steps > 1:
            parts = in_parts("The reference", plan.reference.batch_size, timing.grad_accum_steps)
            say(console, parts, style="yellow")
    needs = needs_of(
        dataset,
        num_workers=workers,
        training_bytes=0 if timing is None else timing.host_bytes,
        state_bytes=0 if timing is None else timing.state_bytes,
        makes_soup=plan.task.pretrained,
    )
    require_room(needs, config, machine)
    sizes = search_sizes(plan, config, timing)
    console.print(plan_text(console, plan, config, estimate_s=estimate_s(sizes, workers)))
    for line in holdings(dataset, config, machine, needs):
        say(console, line)
    return sizes
