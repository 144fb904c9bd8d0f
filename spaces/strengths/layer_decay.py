"""Layer-wise learning rate decay: the factor per block towards the input.

Effective: the learning rate lost per block, 1 - layer_decay, so that 0 is off here too.

Published: 0.7 and 0.8 in ConvNeXt's fine-tuning, 0.65 to 0.75 in MAE's.
"""

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_at_least
from spaces.strengths.strength import Strength, beside_strengths

LAYER_DECAY = Strength(
    name="layer_decay",
    label="layer-wise learning rate decay",
    short="ld",
    unit="learning rate lost per block",
    place=beside_strengths("layer_decay"),
    interval=Interval(has_low=False, high=1.0, has_high=True),
    off=1.0,
    to_effective=lambda raw, task: 1 - raw,
    to_raw=lambda lost, task: 1 - lost,
    limits=lambda task: (0.0, 0.99),
    axis=lambda task: ZeroAxis(LinearAxis(0.0, 0.4)),
    default=lambda task: 1.0,
    differs=by_at_least(0.02),
    usual_points=0.3,
)
