"""The peak learning rate: searched, where asked for, so that strengths are judged at a good one.

It is no strength and gets no dial; the pull of a weight decay depends on it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from spaces.axes import LogAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Place, Strength

if TYPE_CHECKING:
    from spaces.recipe import Recipe


def _put(recipe: "Recipe", lr: float) -> "Recipe":
    # The schedule ends at the same share of its peak.
    return replace(recipe, lr=lr, min_lr=recipe.min_lr * lr / recipe.lr)


LR = Strength(
    name="lr",
    label="peak learning rate",
    short="lr",
    unit="peak learning rate",
    place=Place(
        read=lambda recipe: recipe.lr,
        put=_put,
        copy=lambda recipe, source: replace(recipe, lr=source.lr, min_lr=source.min_lr),
    ),
    interval=Interval(has_low=False),
    off=None,
    limits=lambda task: (1e-12, 1e3),
    # A decade down and half a decade up: too high a rate ruins a run, too low a one slows it.
    axis=lambda task: LogAxis(task.lr / 10, task.lr * 3),
    default=lambda task: task.lr,
    differs=by_a_quarter(),
    has_dial=False,
    task_with=lambda task, lr: replace(task, lr=lr),
    usual_points=1.2,
    is_ratio=True,
)
