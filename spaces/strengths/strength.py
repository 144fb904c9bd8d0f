"""What is said of one searched number, in one place: everything else asks this and no name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spaces.axes import Axis
from spaces.strengths.interval import Interval

if TYPE_CHECKING:  # A recipe checks its strengths by their intervals, so it imports this package.
    from spaces.recipe import Recipe
    from spaces.task import Task

Keeps = Literal["effect", "effect_in_range", "distance_from_default", "value"]
"""What stays of a strength when its recipe moves to a run of another size.

``effect``: its effective value, as far as the new run can carry it out. ``effect_in_range``: the
same, moved into the range that the new run is searched in. ``distance_from_default``: the distance
from its size-scaled default, within 0 and the range. ``value``: its raw value.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a recipe holds the raw value.

    Attributes:
        read: The raw value in a recipe.
        put: A recipe with another raw value in its place.
        copy: A recipe with all that ``source`` says of the strength, given ``(recipe, source)``;
            None where the raw value is all.
    """

    read: "Callable[[Recipe], float]"
    put: "Callable[[Recipe, float], Recipe]"
    copy: "Callable[[Recipe, Recipe], Recipe] | None" = None


def under_strengths(name: str) -> Place:
    """A number that a recipe file holds under ``strengths``."""
    return Place(
        read=lambda recipe: getattr(recipe.strengths, name),
        put=lambda recipe, value: recipe.with_strengths(**{name: value}),
    )


def beside_strengths(name: str) -> Place:
    """A number with a key of its own in a recipe file."""
    return Place(
        read=lambda recipe: getattr(recipe, name),
        put=lambda recipe, value: recipe.from_dict({name: value}, defaults=recipe),
    )


def as_it_is(value: float, task: "Task") -> float:
    """Either conversion of a strength whose raw value says it all."""
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Strength:
    """One number of a recipe that can be searched.

    A raw value is what a recipe holds; an effective value says what it amounts to in a run of this
    length (`spaces.units`). T below is the number of optimizer steps, ``task.total_steps``.

    Attributes:
        name: In recipes, flags, tables, metrics and params.
        label: In a sentence, as people call it.
        short: In the name of a run: two or three letters.
        unit: What an effective value counts.
        place: Where a recipe holds it.
        interval: Raw values that a recipe may hold.
        off: Raw value that switches it off; None for what cannot be switched off.
        to_effective: Effective value of a raw one; unchecked, see `spaces.units.to_effective`.
        to_raw: The inverse within ``limits``; unchecked, see `spaces.units.to_raw`.
        limits: Smallest and largest effective value, both included, that a run can carry out.
        axis: What a search covers, in effective units.
        default: Raw value of the size-scaled default.
        differs: Whether two effective values differ noticeably in a run, so that an experiment
            should tell them apart.
        remark: Why a raw value other than ``off`` makes no sense in a run, as the rest of a
            sentence that begins with name and value; empty where it does.
        way_out: What to do about an effective value beyond ``limits``.
        keeps: What stays when a recipe moves to a run of another size.
        default_grows_with: What the size-scaled default depends on.
        acts_in: Whether a run has anything for it to act on; else it is fixed at ``off``.
        idle_words: What is said of a model that has nothing for it to act on.
        is_regularizer: Whether more is simply stronger regularization, an answer to an overfit.
        acts_back_on_training: Whether it changes how the weights move. What does not is measured at
            several values within one run.
        has_dial: Whether an experiment judges it; a nuisance such as the learning rate is searched
            so that the others are judged at a good value of it.
        task_with: The task under a raw value of it, for what other strengths' effective units
            depend on; its own effective value is its raw value.
        usual_points: Points of ImageNet top-1 that a difference usually matters; for an order only.
        is_ratio: Whether a difference is measured by the ratio of two values, not by their
            difference.
        holds_for: What a raw value is right for, where it amounts to something else in a run in
            which that differs; empty where it says the same everywhere.
        is_near_one: Whether a short text must tell its distance to 1: 0.99996 is not 1.
    """

    name: str
    label: str
    short: str
    unit: str
    place: Place
    interval: Interval
    limits: "Callable[[Task], tuple[float, float]]"
    axis: "Callable[[Task], Axis]"
    default: "Callable[[Task], float]"
    differs: "Callable[[float, float, Task], bool]"
    usual_points: float
    off: float | None = 0.0
    to_effective: "Callable[[float, Task], float]" = as_it_is
    to_raw: "Callable[[float, Task], float]" = as_it_is
    remark: "Callable[[float, Task], str]" = lambda raw, task: ""
    way_out: str = ""
    keeps: Keeps = "value"
    default_grows_with: Literal["images", "steps"] = "steps"
    acts_in: "Callable[[Task], bool]" = lambda task: True
    idle_words: str = ""
    is_regularizer: bool = False
    acts_back_on_training: bool = True
    has_dial: bool = True
    task_with: "Callable[[Task, float], Task] | None" = None
    is_ratio: bool = False
    is_near_one: bool = False
    holds_for: str = ""

    def read(self, recipe: "Recipe") -> float:
        """The raw value that a recipe holds."""
        return self.place.read(recipe)

    def put(self, recipe: "Recipe", value: float) -> "Recipe":
        """The recipe with another raw value.

        Raises:
            InputError: If a recipe may not hold it.
        """
        return self.place.put(recipe, value)

    def copied(self, recipe: "Recipe", source: "Recipe") -> "Recipe":
        """The recipe with this strength as another one has it."""
        if self.place.copy is not None:
            return self.place.copy(recipe, source)
        return self.put(recipe, self.read(source))

    def switched_off(self, recipe: "Recipe") -> "Recipe":
        """The recipe without it; what cannot be switched off stays."""
        return recipe if self.off is None else self.put(recipe, self.off)
