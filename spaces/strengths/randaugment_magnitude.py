"""The magnitude of RandAugment (Cubuk et al. 2019, arXiv 1909.13719), a whole number out of 30.

Published: timm's m6 to m9, which are 18 to 27 out of 30, from scratch on a million images.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from spaces.axes import LinearAxis, ZeroAxis
from spaces.strengths.interval import Interval
from spaces.strengths.strength import Place, Strength

if TYPE_CHECKING:
    from spaces.recipe import Recipe
    from spaces.task import Task


def _read(recipe: "Recipe") -> float:
    return float(recipe.randaugment.magnitude) if recipe.randaugment else 0.0


def _put(recipe: "Recipe", value: float) -> "Recipe":
    """Return the recipe with this magnitude and the same number of operations; off at 0."""
    INTERVAL.require("randaugment_magnitude", value)
    magnitude = round(value)
    if magnitude == 0:
        # Magnitude 0 still equalizes and auto-contrasts: off is no RandAugment at all.
        return replace(recipe, randaugment=None)
    if recipe.randaugment is not None:
        return replace(recipe, randaugment=replace(recipe.randaugment, magnitude=magnitude))
    return recipe.from_dict({"randaugment": {"magnitude": magnitude}}, defaults=recipe)


def _differs(a: float, b: float, task: "Task") -> bool:
    return abs(a - b) >= 3.0 or (a == 0.0) != (b == 0.0)


INTERVAL = Interval(high=30.0, has_high=True)

RANDAUGMENT_MAGNITUDE = Strength(
    name="randaugment_magnitude",
    label="RandAugment's magnitude",
    short="ra",
    unit="magnitude out of 30",
    place=Place(
        read=_read,
        put=_put,
        # With the number of operations, which the magnitude alone does not say.
        copy=lambda recipe, source: replace(recipe, randaugment=source.randaugment),
    ),
    interval=INTERVAL,
    to_raw=lambda magnitude, task: float(round(magnitude)),
    limits=lambda task: (0.0, 30.0),
    axis=lambda task: ZeroAxis(LinearAxis(1.0, 30.0)),
    default=lambda task: 0.0 if task.pretrained or task.size_class != "large" else 27.0,
    differs=_differs,
    default_grows_with="images",
    is_regularizer=True,
    usual_points=0.7,
)
