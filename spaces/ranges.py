"""Ranges of the strengths for a task, as axes in effective units."""

from spaces.axes import Axis, FixedAxis
from spaces.errors import InputError
from spaces.strengths.registry import EXTRAS, strengths_in
from spaces.strengths.strength import Strength
from spaces.task import Task

MIN_STEPS = 10
"""Fewest optimizer steps of a run, so that warmup, peak and average are distinct."""


def strength_axes(task: Task) -> dict[str, Axis]:
    """Make the axis of each strength, and of each extra that joins them in this task.

    Strengths that cannot act in it are fixed at off.

    Raises:
        InputError: If the run has fewer than `MIN_STEPS` steps.
    """
    steps = task.total_steps
    if steps < MIN_STEPS:
        raise InputError(
            f"`total_steps >= {MIN_STEPS}` must hold to search strengths, but {task.num_train} "
            f"images in batches of {task.batch_size} for {task.epochs} epochs make {steps}; "
            f"raise `epochs` or lower `batch_size`."
        )
    return {name: _axis(strength, task) for name, strength in strengths_in(task).items()}


def extra_axis(name: str, task: Task) -> Axis:
    """Make the axis of an extra.

    Raises:
        InputError: If there is no such extra.
    """
    if name not in EXTRAS:
        raise InputError(f"Unknown extra axis {name!r}; known are {', '.join(EXTRAS)}.")
    return _axis(EXTRAS[name], task)


def _axis(strength: Strength, task: Task) -> Axis:
    if strength.off is not None and not strength.acts_in(task):
        return FixedAxis(strength.off)
    return strength.axis(task)
