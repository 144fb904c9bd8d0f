"""``make plan``: the plan of a run, and how long it would take; nothing is started."""

from search.config import RunConfig
from search.console import make_console
from search.estimate import estimate_s
from search.plan import device_of, make_plan, num_threads
from search.plan_text import plan_text
from trainable.timing import time_run


def print_plan(config: RunConfig) -> None:
    """Print the plan.

    Raises:
        InputError: If anything given is wrong.
    """
    plan, dataset = make_plan(config)
    timing = time_run(
        plan.reference,
        dataset,
        device=device_of(config),
        num_threads=num_threads(config),
    )
    make_console().print(plan_text(plan, config, estimate_s=estimate_s(plan, config, timing)))
