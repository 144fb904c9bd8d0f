"""Label smoothing: the probability mass that is spread evenly over all classes.

Published: 0.1 nearly everywhere, 0 in RSB A2 and A3, BiT and AugReg's fine-tuning.
"""

from typing import TYPE_CHECKING

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_at_least
from spaces.strengths.strength import Strength, under_strengths

if TYPE_CHECKING:
    from spaces.task import Task

SMOOTHING_FROM = 2_000
"""Number of images from which the default is 0.1; below it is 0."""


def _remark(raw: float, task: "Task") -> str:
    return f"moves {raw:.0%} of the probability away from the label" if raw > 0.3 else ""


LABEL_SMOOTHING = Strength(
    name="label_smoothing",
    label="label smoothing",
    short="ls",
    unit="probability mass moved",
    place=under_strengths("label_smoothing"),
    interval=Interval(high=1.0),  # At 1 no label would be left.
    limits=lambda task: (0.0, 0.9),
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 0.2)),
    default=lambda task: 0.1 if task.num_train >= SMOOTHING_FROM else 0.0,
    differs=by_at_least(0.02),
    remark=_remark,
    # A search on 300 images that settles on the default of none says nothing against it on a
    # million.
    keeps="distance_from_default",
    default_grows_with="images",
    is_regularizer=True,
    usual_points=0.8,
)
