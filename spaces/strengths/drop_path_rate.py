"""Drop path (stochastic depth): how often residual blocks are skipped.

The rate is the model's. Most architectures skip their deepest block with all of it, and the others
with less the nearer they are to the input; some give the deepest less, or every block the same.

Published: from scratch 0.1 to 0.5 (ConvNeXt T to B), 0.05 (RSB A1, A2), 0 (RSB A3); fine-tuning 0.2
and 0.3 (ConvNeXt B and L), 0 (AugReg).
"""

from typing import TYPE_CHECKING

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_at_least
from spaces.strengths.strength import Strength, under_strengths

if TYPE_CHECKING:
    from spaces.task import Task


def _default(task: "Task") -> float:
    return 0.1 * min(1.0, (task.total_steps / 50_000) ** 0.5) if task.num_blocks else 0.0


def _remark(raw: float, task: "Task") -> str:
    if task.num_blocks == 0:
        return "does nothing: this model has no residual block to skip"
    deepest = raw * task.deepest_share
    return f"skips the deepest block in {deepest:.0%} of the steps" if deepest > 0.5 else ""


DROP_PATH_RATE = Strength(
    name="drop_path_rate",
    label="stochastic depth",
    short="dp",
    unit="rate of the model",
    place=under_strengths("drop_path_rate"),
    interval=Interval(high=1.0),  # At 1 the block would never be there.
    limits=lambda task: (0.0, 0.95),  # ConvNeXt-L at 384 px, the highest published.
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 0.3 if task.pretrained else 0.5)),
    default=_default,
    differs=by_at_least(0.02),
    remark=_remark,
    keeps="distance_from_default",
    acts_in=lambda task: task.num_blocks > 0,
    idle_words="takes no drop path",
    is_regularizer=True,
    usual_points=0.4,
)
