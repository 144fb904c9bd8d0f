"""BatchNorm's statistics of a weight average: 0 averaged with the weights, 1 measured anew.

Averaged weights have smaller outputs than any of the weights that the averaged statistics belong
to, and the more so the longer the window (docs/scaling.md). Measured on training images after the
run (Izmailov et al. 2018, arXiv 1803.05407, section 3), the statistics are those of the average
itself. timm and torchvision average them.
"""

from typing import TYPE_CHECKING

from spaces.axes import LinearAxis
from spaces.strengths.interval import Interval
from spaces.strengths.noticeable import by_at_least
from spaces.strengths.strength import Place, Strength

if TYPE_CHECKING:
    from spaces.recipe import Recipe

WORDS = {0.0: "averaged", 1.0: "measured"}


def _read(recipe: "Recipe") -> float:
    return next(value for value, word in WORDS.items() if word == recipe.ema_batch_norm)


EMA_BATCH_NORM = Strength(
    name="ema_batch_norm",
    label="BatchNorm statistics of the average",
    short="ebn",
    unit="(0 averaged, 1 measured)",
    place=Place(
        read=_read,
        put=lambda recipe, value: recipe.from_dict(
            {"ema_batch_norm": WORDS.get(value, value)}, defaults=recipe
        ),
    ),
    interval=Interval(high=1.0, has_high=True),
    limits=lambda task: (0.0, 1.0),
    axis=lambda task: LinearAxis(0.0, 1.0),
    default=lambda task: 0.0,
    differs=by_at_least(1.0),
    acts_in=lambda task: task.has_batch_norm,
    idle_words="has no BatchNorm, so that its average has no statistics",
    acts_back_on_training=False,
    tried_instead=lambda value: 1.0 - value,
    needs_average=True,
    value_words=WORDS,
    usual_points=0.1,
)
