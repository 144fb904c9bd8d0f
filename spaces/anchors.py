"""The three recipes that are always run first, to full length."""

from dataclasses import replace

from spaces.recipe import Recipe
from spaces.strengths import Strengths
from spaces.task import Task
from spaces.units import limits, to_raw

SMOOTHING_FROM = 2_000
"""Images from which label smoothing 0.1 is the default; below, there is none."""


def scaled_strengths(task: Task) -> Strengths:
    """The published strengths, scaled to the size and length of this task.

    - ``weight_decay``: total pull W = 0.5 in transfer, 19 from scratch, as far as the run can pull.
    - ``label_smoothing``: 0 below `SMOOTHING_FROM` images, else 0.1.
    - ``drop_path_rate``: 0.1 * min(1, sqrt(T / 50k)) of T steps; 0 without blocks.
    - ``ema_decay``: a window of 5 % of the run, at least one step (which is off).
    - ``warmup_fraction``: 100 steps, at least 2 % and at most 20 % of the run.
    """
    steps = task.total_steps
    pull = min(0.5 if task.pretrained else 19.0, limits("weight_decay", task)[1])
    return Strengths(
        weight_decay=to_raw("weight_decay", pull, task),
        label_smoothing=0.1 if task.num_train >= SMOOTHING_FROM else 0.0,
        drop_path_rate=0.1 * min(1.0, (steps / 50_000) ** 0.5) if task.num_blocks else 0.0,
        ema_decay=to_raw("ema_decay", max(0.05, 1 / steps), task),
        warmup_fraction=min(max(100 / steps, 0.02), 0.2),
    )


def anchors(reference: Recipe, task: Task, *, takes_drop_path: bool = True) -> dict[str, Recipe]:
    """``reference``, ``scaled`` and ``off``: one recipe with three sets of strengths.

    A model that takes no drop path has that strength at 0 in all three.
    """
    without = {} if takes_drop_path else {"drop_path_rate": 0.0}
    sets = {"reference": reference.strengths, "scaled": scaled_strengths(task), "off": Strengths()}
    return {
        name: replace(reference, strengths=strengths).with_strengths(**without)
        for name, strengths in sets.items()
    }
