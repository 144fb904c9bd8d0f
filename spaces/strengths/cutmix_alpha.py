"""CutMix (Yun et al. 2019, arXiv 1905.04899): the Beta parameter that areas are drawn with.

Published: 1 wherever it is used, and only from scratch on a million images.
"""

from spaces.axes import LogAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_a_quarter
from spaces.strengths.strength import Strength, beside_strengths

CUTMIX_ALPHA = Strength(
    name="cutmix_alpha",
    label="CutMix",
    short="cut",
    unit="Beta parameter",
    place=beside_strengths("cutmix_alpha"),
    interval=Interval(),
    limits=lambda task: (0.0, 1e3),
    axis=lambda task: ZeroAxis(LogAxis(0.05, 1.0)),
    default=lambda task: 0.0 if task.pretrained or task.size_class != "large" else 1.0,
    differs=by_a_quarter(beside=0.1),
    default_grows_with="images",
    is_regularizer=True,
    usual_points=1.0,
)
