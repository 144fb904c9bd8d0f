"""MixUp (Zhang et al. 2018, arXiv 1710.09412): the Beta parameter that shares are drawn with.

Published: 0.1 (RSB A2 and A3; BiT from 20k images on, none below) to 0.8 (DeiT).
"""

from spaces.axes import LogAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Strength, beside_strengths

MIXUP_ALPHA = Strength(
    name="mixup_alpha",
    label="MixUp",
    short="mix",
    unit="Beta parameter",
    place=beside_strengths("mixup_alpha"),
    interval=Interval(),
    limits=lambda task: (0.0, 1e3),  # Beyond, every mix is one half of each image anyway.
    axis=lambda task: ZeroAxis(LogAxis(0.05, 1.0)),
    # BiT-HyperRule (Kolesnikov et al. 2020, arXiv 1912.11370).
    default=lambda task: 0.0 if task.size_class == "small" else 0.1,
    differs=by_a_quarter(beside=0.1),
    default_grows_with="images",
    is_regularizer=True,
    usual_points=1.0,
)
