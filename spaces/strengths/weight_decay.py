"""Weight decay, by its total pull over the run.

Effective: W = lr * weight_decay * T. Linear warmup and cosine decay both average half the peak, so
decay alone multiplies a weight by exp(-W / 2) over the run. Its optimum is about constant over data
size (Wang & Aitchison 2024, arXiv 2405.13698). The decay of ``sgd`` is L2 before momentum m, so lr
stands for lr / (1 - m) there (`Task.decay_rate`). ``adam``, which divides its L2 by the size of the
gradient, has no such unit; the number is nominal.

Published: W = 18.8 for DeiT, ConvNeXt, Swin, RSB A1 and A2, 12.5 for MAE's fine-tuning (He et al.
2021, arXiv 2111.06377), 10 for RSB A3, about 0 for ConvNeXt's fine-tuning and BiT.
"""

import math
from typing import TYPE_CHECKING

from spaces.axes import LogAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Strength, under_strengths

if TYPE_CHECKING:
    from spaces.task import Task

MAX_WEIGHT_DECAY = 10.0
"""Largest raw weight decay; every published one for AdamW lies below 1."""


def _to_effective(raw: float, task: "Task") -> float:
    return task.decay_rate * raw * task.total_steps


def _to_raw(pull: float, task: "Task") -> float:
    return min(pull / (task.decay_rate * task.total_steps), MAX_WEIGHT_DECAY)


def _limits(task: "Task") -> tuple[float, float]:
    # Above lr * wd = 1 a step would not shrink a weight but turn its sign.
    return 0.0, min(MAX_WEIGHT_DECAY * task.decay_rate, 1.0) * task.total_steps


def _axis(task: "Task") -> ZeroAxis:
    # Below 0.02 a weight shrinks by less than 1 % over the run. From scratch 0.5 and not the 2 of
    # published runs: on 10 000 Fashion-MNIST images everything from off to 6 was within noise of
    # the best (docs/scaling.md).
    low, high, factor = (0.02, 20.0, 30.0) if task.pretrained else (0.5, 60.0, 120.0)
    high = min(high, _limits(task)[1])
    # Short runs cannot pull as hard as published ones: what is left keeps a factor below the most
    # they can do.
    return ZeroAxis(LogAxis(min(low, high / factor), high))


def _default(task: "Task") -> float:
    return _to_raw(min(0.5 if task.pretrained else 19.0, _limits(task)[1]), task)


def _remark(raw: float, task: "Task") -> str:
    pull = _to_effective(raw, task)
    if task.decay_rate * raw > 1:
        return f"at learning rate {task.lr:g} turns the sign of a weight in each step"
    if pull < 0.02:
        shrink = 100 * -math.expm1(-pull / 2)
        return f"shrinks a weight by {shrink:.2g} % in {task.total_steps} steps: as good as off"
    if pull > 100:
        return f"leaves exp(-{pull / 2:.0f}) of a weight that no gradient feeds"
    return ""


WEIGHT_DECAY = Strength(
    name="weight_decay",
    label="weight decay",
    short="wd",
    unit="decay over the whole run, lr*wd*T",
    place=under_strengths("weight_decay"),
    interval=Interval(),
    to_effective=_to_effective,
    to_raw=_to_raw,
    limits=_limits,
    axis=_axis,
    default=_default,
    # Below W = 1 a difference in W itself (0 and 0.2 both shrink a weight by less than a tenth),
    # above it a ratio (19 against 25).
    differs=by_a_quarter(beside=1.0),
    remark=_remark,
    way_out="ask for less, or raise `epochs` or `lr`",
    keeps="effect",
    is_regularizer=True,
    usual_points=0.5,
    is_ratio=True,
    holds_for="this lr x steps",
)
