"""``make plan``: the plan of a run, and how long it would take; nothing is started."""

from rich.console import Console

from search.config import RunConfig
from search.console import make_console
from search.estimate import estimate_s
from search.plan import Plan, device_of, make_plan, num_threads
from search.plan_text import plan_text
from trainable.datasets import Dataset
from trainable.precision import Diverged
from trainable.timing import time_run


def print_plan(config: RunConfig) -> None:
    """Print the plan.

    Raises:
        InputError: If anything given is wrong.
    """
    plan, dataset = make_plan(config)
    show(make_console(), config, plan, dataset)


def show(console: Console, config: RunConfig, plan: Plan, dataset: Dataset) -> float | None:
    """Print a plan with the time it will take, worked out from a few timed steps.

    Returns:
        The time in seconds; None if the reference diverges in those very steps.
    """
    try:
        timing = time_run(
            plan.reference, dataset, device=device_of(config), num_threads=num_threads(config)
        )
    except Diverged as error:
        console.print(f"The reference diverges at once: {error}", style="yellow")
        seconds = None
    else:
        seconds = estimate_s(plan, config, timing)
    console.print(plan_text(plan, config, estimate_s=seconds))
    return seconds
