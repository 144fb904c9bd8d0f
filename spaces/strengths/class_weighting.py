"""Class weights in the loss, by the share of the imbalance that they undo.

Cui et al. 2019 (arXiv 1901.05555): an image of a class with n training images weighs
``(1 - beta) / (1 - beta ** n)``, normalised to a mean of 1 over the training images. One number
holds the three usual choices: beta = 0 gives every image the same weight, beta = 1 in the limit
``1 / n``, so that every class weighs the same (inverse frequency), and in between only about
``1 / (1 - beta)`` images of a class count (effective number).

Effective: the share s of the imbalance that is undone. With r times as many images in the largest
class as in the smallest, an image of the smallest weighs ``r ** s`` times one of the largest. The
same beta is nothing for classes of hundreds of images and nearly inverse frequency for classes of
a few. Equal steps of s multiply that ratio by equal factors; between the sizes of the classes they
are about equal steps of ``-ln(1 - beta)``, the axis of `ema_decay`. Where the sizes are not known,
s is its limit for classes that are all nearly as large as the average one.

Published: beta = 0.9 to 0.9999 on CIFAR and iNaturalist with artificial and natural long tails.
"""

import math
from typing import TYPE_CHECKING

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.strength import Strength, beside_strengths

if TYPE_CHECKING:
    from spaces.task import Task

SEARCHED_ABOVE = 3.0
"""Ratio of the largest to the smallest class above which every search covers class weights."""

_NOTICEABLE = math.log(1.25) - 1e-12
"""Smallest change of the logarithm of the ratio of weights: by a quarter."""
_AS_GOOD_AS_OFF = 1.05
"""Ratio of weights below which a remark says that they do nothing."""


def _undone(rate: float, task: "Task") -> float:
    """Compute the share of the imbalance that ``beta = exp(-rate)`` undoes, in ``[0, 1]``."""
    small, large = task.smallest_class, task.largest_class
    if small < large:
        share = (_log_effective(large * rate) - _log_effective(small * rate)) / math.log(
            large / small
        )
    else:
        # The limit is the derivative by the logarithm of the number of images, at any one size.
        x = rate * (small or task.num_train / task.num_classes)
        share = x / math.expm1(x) if x < 700 else 0.0
    return min(max(share, 0.0), 1.0)


def _log_effective(x: float) -> float:
    """Compute ``log(1 - exp(-x))`` for ``x > 0`` without loss of digits at either end."""
    return math.log(-math.expm1(-x)) if x < math.log(2) else math.log1p(-math.exp(-x))


def _to_effective(raw: float, task: "Task") -> float:
    return raw if raw in (0.0, 1.0) else _undone(-math.log(raw), task)


def _to_raw(share: float, task: "Task") -> float:
    if share in (0.0, 1.0):
        return share
    # The share falls as the rate rises; halved on a log scale down to neighbouring floats.
    low, high = 1e-30, 800.0
    while low < (middle := math.sqrt(low * high)) < high:
        low, high = (middle, high) if _undone(middle, task) > share else (low, middle)
    return math.exp(-low)


def _differs(a: float, b: float, task: "Task") -> bool:
    ratio = task.class_ratio if task.smallest_class else SEARCHED_ABOVE
    return abs(a - b) * math.log(ratio) >= _NOTICEABLE


def _remark(raw: float, task: "Task") -> str:
    if not task.smallest_class:
        return ""
    weight = task.class_ratio ** _to_effective(raw, task)
    if weight >= _AS_GOOD_AS_OFF:
        return ""
    return (
        f"weighs an image of the smallest class {weight:.3g} times as much as one of the largest: "
        "as good as off"
    )


CLASS_WEIGHTING = Strength(
    name="class_weighting",
    label="class weights",
    short="cw",
    unit="share of the imbalance undone",
    place=beside_strengths("class_weighting"),
    interval=Interval(high=1.0, has_high=True),
    to_effective=_to_effective,
    to_raw=_to_raw,
    limits=lambda task: (0.0, 1.0),
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 1.0)),
    # None, as in every published recipe; what it costs or brings depends on the metric.
    default=lambda task: 0.0,
    differs=_differs,
    remark=_remark,
    keeps="effect",
    # Equal classes weigh the same whatever it is; sizes that are not known may differ.
    acts_in=lambda task: not task.smallest_class or task.class_ratio > 1.0,
    joins=lambda task: task.class_ratio > SEARCHED_ABOVE,
    usual_points=0.1,
    is_near_one=True,
    holds_for="these class sizes",
)
