"""The description of one searched number; the rest of the program uses it and no names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from spaces.axes import Axis
from spaces.strengths.interval import Interval

if TYPE_CHECKING:  # A recipe checks its strengths by their intervals, so it imports this package.
    from spaces.recipe import Recipe
    from spaces.task import Task

Keeps = Literal["effect", "effect_in_range", "distance_from_default", "value"]
"""Quantity of a strength that is kept when its recipe is rescaled to a run of another size.

``effect``: its effective value, as far as it is possible in the new run. ``effect_in_range``: the
same, clipped to the range of the new run's search. ``distance_from_default``: the distance from its
size-scaled default, clipped to 0 and the range. ``value``: its raw value.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Access to the raw value of a strength in a recipe.

    Attributes:
        read: Returns the raw value in a recipe.
        put: Returns a recipe with another raw value.
        copy: Returns ``recipe`` with all settings of the strength from ``source``, given
            ``(recipe, source)``; None if the raw value is the only one.
    """

    read: "Callable[[Recipe], float]"
    put: "Callable[[Recipe, float], Recipe]"
    copy: "Callable[[Recipe, Recipe], Recipe] | None" = None


def under_strengths(name: str) -> Place:
    """Make the access to a number under ``strengths`` in a recipe file."""
    return Place(
        read=lambda recipe: getattr(recipe.strengths, name),
        put=lambda recipe, value: recipe.with_strengths(**{name: value}),
    )


def beside_strengths(name: str) -> Place:
    """Make the access to a number with a top-level key in a recipe file."""
    return Place(
        read=lambda recipe: getattr(recipe, name),
        put=lambda recipe, value: recipe.from_dict({name: value}, defaults=recipe),
    )


def as_it_is(value: float, task: "Task") -> float:
    """Return the value unchanged, as conversion for strengths without an effective unit."""
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Strength:
    """One number of a recipe that can be searched.

    A raw value is the number in a recipe; an effective value is its effect in a run of a given
    length (`spaces.units`). T below is the number of optimizer steps, ``task.total_steps``.

    Attributes:
        name: Name in recipes, flags, tables, metrics and params.
        label: Name in sentences.
        short: Name of two or three letters in the name of a run.
        unit: Unit of effective values.
        place: Access to its value in a recipe.
        interval: Raw values that a recipe may hold.
        off: Raw value that switches it off; None if it cannot be switched off.
        to_effective: Effective value of a raw one; unchecked, see `spaces.units.to_effective`.
        to_raw: The inverse within ``limits``; unchecked, see `spaces.units.to_raw`.
        limits: Smallest and largest effective value, both included, that is possible in a run.
        axis: Axis of a search, in effective units.
        default: Raw value of the size-scaled default.
        differs: Whether two effective values differ noticeably in a run, so that an experiment
            should tell them apart.
        remark: Why a raw value other than ``off`` makes no sense in a run, as the rest of a
            sentence that begins with name and value; empty where it does.
        way_out: Advice for an effective value beyond ``limits``.
        keeps: Quantity that is kept when a recipe is rescaled to a run of another size.
        default_grows_with: Quantity that the size-scaled default depends on.
        acts_in: Whether it can act in a run; if not, it is fixed at ``off``.
        idle_words: Words that explain why it cannot act in a model.
        is_regularizer: Whether more is simply stronger regularization, an answer to an overfit.
        acts_back_on_training: Whether it changes how the weights move. If not, several values are
            measured within one run.
        tried_instead: Raw value that an experiment tries in place of a given one; None where a
            search proposes it.
        needs_average: Whether it has an effect on a weight average only.
        value_words: Words that people read in place of raw values; empty for numbers.
        joins: Whether every search of a task covers it, though it is an extra; for what matters in
            some datasets only.
        has_dial: Whether an experiment judges it; a nuisance such as the learning rate is searched
            so that the others are judged at a good value of it.
        task_with: Returns the task with a raw value of it, if effective units of other strengths
            depend on it; its own effective value is its raw value.
        usual_points: Usual effect of a difference in points of ImageNet top-1; for sorting only.
        is_ratio: Whether a difference is measured by the ratio of two values, not by their
            difference.
        holds_for: Property of a run for which a raw value is right, if its effect depends on it;
            empty if it does not.
        is_near_one: Whether short texts must show its distance to 1, as 0.99996 is not 1.
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
    tried_instead: "Callable[[float], float] | None" = None
    needs_average: bool = False
    value_words: Mapping[float, str] = field(default_factory=dict)
    joins: "Callable[[Task], bool]" = lambda task: False
    has_dial: bool = True
    task_with: "Callable[[Task, float], Task] | None" = None
    is_ratio: bool = False
    is_near_one: bool = False
    holds_for: str = ""

    def read(self, recipe: "Recipe") -> float:
        """Read the raw value in a recipe."""
        return self.place.read(recipe)

    def put(self, recipe: "Recipe", value: float) -> "Recipe":
        """Return the recipe with another raw value.

        Raises:
            InputError: If a recipe may not hold it.
        """
        return self.place.put(recipe, value)

    def copied(self, recipe: "Recipe", source: "Recipe") -> "Recipe":
        """Return the recipe with this strength copied from ``source``."""
        if self.place.copy is not None:
            return self.place.copy(recipe, source)
        return self.put(recipe, self.read(source))

    def switched_off(self, recipe: "Recipe") -> "Recipe":
        """Return the recipe with this strength off, if it can be switched off."""
        return recipe if self.off is None else self.put(recipe, self.off)
