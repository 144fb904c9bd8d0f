"""Linear warmup, by its steps.

Published: 100 of 500 (BiT below 20k images, AugReg's fine-tuning), 500 of 10k and of 20k (larger
BiT), 6 255 of 375 300 (DeiT), 25 020 of 375 300 (Swin), 3 125 of 375 000 (RSB A1).
"""

from typing import TYPE_CHECKING

from spaces.axes import LogAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Strength, under_strengths

if TYPE_CHECKING:
    from spaces.task import Task

LONGEST_WARMUP = 0.5
"""Longest warmup as a share of the run; AugReg's fine-tuning, the longest published, has 0.2."""

_by_ratio = by_a_quarter(beside=15.0)


def _axis(task: "Task") -> ZeroAxis:
    steps = task.total_steps
    # Below 50 steps, five would leave no range: there the low end is a tenth of the run.
    low = max(min(5.0, 0.1 * steps), 0.005 * steps)
    # Above 10k steps, a thousand would: published runs of 1e5 steps warm up for thousands.
    # Off is in the range: on 1000 Fashion-MNIST images no warmup was best (docs/scaling.md).
    return ZeroAxis(LogAxis(low, min(max(1000.0, 0.1 * steps), 0.3 * steps)))


def _differs(a: float, b: float, task: "Task") -> bool:
    # 5 against 10 steps is one difference and 1000 against 1300 another; so is a twentieth of the
    # run.
    return _by_ratio(a, b, task) or abs(a - b) >= 0.05 * task.total_steps


def _remark(raw: float, task: "Task") -> str:
    if raw * task.total_steps < 1:
        return f"is less than one of {task.total_steps} steps: as good as off"
    return f"keeps {raw:.0%} of the run below its peak learning rate" if raw > 0.3 else ""


WARMUP_FRACTION = Strength(
    name="warmup_fraction",
    label="warmup",
    short="wu",
    unit="warmup steps",
    place=under_strengths("warmup_fraction"),
    interval=Interval(high=1.0),  # At 1 no step would be left at the peak.
    to_effective=lambda raw, task: raw * task.total_steps,
    to_raw=lambda warmup_steps, task: warmup_steps / task.total_steps,
    limits=lambda task: (0.0, LONGEST_WARMUP * task.total_steps),
    axis=_axis,
    # A hundred steps, at least 2 % and at most 20 % of the run.
    default=lambda task: min(max(100 / task.total_steps, 0.02), 0.2),
    differs=_differs,
    remark=_remark,
    way_out="ask for a shorter warmup, or raise `epochs`",
    keeps="effect_in_range",
    usual_points=0.5,
)
