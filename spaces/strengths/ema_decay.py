"""The average of the weights (EMA), by its window as a share of the run.

Effective: f = 1 / ((1 - d) T) for a decay d per step. What is left of the initial weights in the
average is d ** T, about exp(-1 / f) (Busbridge et al. 2023, arXiv 2307.13813). No average (0) is a
window of one step.

Published: f = 0.107 for ConvNeXt, 0.067 for DeiT, 0.04 for torchvision, 0.004 for EfficientNet.
"""

from typing import TYPE_CHECKING

from spaces.axes import LogAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Strength, under_strengths

if TYPE_CHECKING:
    from spaces.task import Task

LONGEST_WINDOW = 1 / 3
"""Longest window as a share of the run: exp(-3), 5 % of the average, is initial weights."""


def _to_effective(raw: float, task: "Task") -> float:
    return 1 / ((1 - raw) * task.total_steps)


def _to_raw(window: float, task: "Task") -> float:
    window_steps = window * task.total_steps
    # Exactly 0 for a window of one step: "almost off" would still keep a copy of the weights.
    return 1 - 1 / window_steps if window_steps > 1 + 1e-12 else 0.0


def _limits(task: "Task") -> tuple[float, float]:
    return 1 / task.total_steps, max(LONGEST_WINDOW, 1 / task.total_steps)


def _remark(raw: float, task: "Task") -> str:
    window, steps = _to_effective(raw, task), task.total_steps
    if window > LONGEST_WINDOW:
        return (
            f"remembers {window * steps:.0f} steps; this run has {steps}: "
            f"the average would still be {100 * raw**steps:.0f} % initial weights"
        )
    if window * steps < 2:
        return f"averages {window * steps:.1f} steps: as good as off"
    return ""


EMA_DECAY = Strength(
    name="ema_decay",
    label="weight averaging (EMA)",
    short="ema",
    unit="window / run",
    place=under_strengths("ema_decay"),
    interval=Interval(high=1.0),  # At 1 the average would never move.
    to_effective=_to_effective,
    to_raw=_to_raw,
    limits=_limits,
    # A window of one step is off, so runs of up to 333 steps reach it.
    axis=lambda task: LogAxis(max(0.003, 1 / task.total_steps), 0.3),
    # A twentieth of the run, at least one step.
    default=lambda task: _to_raw(max(0.05, 1 / task.total_steps), task),
    differs=by_a_quarter(),
    remark=_remark,
    way_out="ask for a shorter window, or raise `epochs`",
    keeps="effect",
    acts_back_on_training=False,
    usual_points=0.3,
    is_ratio=True,
    is_near_one=True,
    holds_for="this length",
)
