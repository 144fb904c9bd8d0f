"""Adjustment of logits for how often each class was trained on, after training.

Menon et al. 2021 (Long-tail learning via logit adjustment, arXiv 2007.07314, section 4.1): from the
logit of each class tau times the logarithm of its share of the training images is subtracted. With
tau = 1 the model aims at the least balanced error where its softmax estimates the probabilities of
classes, and with 0 at the least number of wrong images. Training is the same whatever tau is, so
that one run tells of both.

With r times as many training images in the largest class as in the smallest, the odds of the
smallest against the largest are multiplied by ``r ** tau``, which is what class weights of the same
share do to the loss: both at once would correct twice.
"""

import math
from typing import TYPE_CHECKING

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.class_weighting import SEARCHED_ABOVE
from spaces.strengths.interval import Interval
from spaces.strengths.strength import Strength, beside_strengths

if TYPE_CHECKING:
    from spaces.task import Task

BALANCED = 1.0
"""The tau that is consistent with balanced error (Menon et al. 2021, section 4)."""

_NOTICEABLE = math.log(1.25) - 1e-12
"""Smallest change of the logarithm of the odds of classes: by a quarter, as for class weights."""


def _differs(a: float, b: float, task: "Task") -> bool:
    ratio = task.class_ratio if task.smallest_class else SEARCHED_ABOVE
    return abs(a - b) * math.log(ratio) >= _NOTICEABLE


LOGIT_ADJUSTMENT = Strength(
    name="logit_adjustment",
    label="logit adjustment",
    short="la",
    unit="tau",
    place=beside_strengths("logit_adjustment"),
    interval=Interval(),
    limits=lambda task: (0.0, math.inf),
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 2.0)),
    default=lambda task: 0.0,
    differs=_differs,
    acts_in=lambda task: task.has_output_bias and task.class_ratio > SEARCHED_ABOVE,
    acts_back_on_training=False,
    tried_instead=lambda value: 0.0 if value else BALANCED,
    usual_points=0.1,
    holds_for="these class sizes",
)
