"""Rescaling of strengths from a run of one size to a run of another, by effective values."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from spaces.axes import Axis, FixedAxis
from spaces.ranges import strength_axes
from spaces.recipe import Recipe
from spaces.strengths.registry import strengths_in
from spaces.strengths.strength import Strength
from spaces.task import Task
from spaces.units import plain, to_effective, to_raw


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescaled:
    """A rescaled recipe, with a sentence on each strength that changed."""

    recipe: Recipe
    notes: dict[str, str]


def rescale(
    recipe: Recipe,
    from_task: Task,
    to_task: Task,
    *,
    defaults_move: bool = True,
    kept: Collection[str] = (),
) -> Rescaled:
    """Rescale a recipe so that its strengths have the same effect in ``to_task``.

    What stays of each strength is its own matter, see `spaces.strengths.strength.Keeps`; what is
    off stays off where an effective value is kept. Equal tasks move nothing.

    Args:
        recipe: Made for ``from_task``.
        from_task: The run it was found in.
        to_task: The run it is wanted for.
        defaults_move: Whether what keeps its distance from a size-scaled default moves with it, or
            stays as it is.
        kept: Names of strengths that stay as they are in the same way, for there is evidence.

    Raises:
        InputError: If the new run is too short for strengths to mean anything.
    """
    axes, notes = strength_axes(to_task), {}
    if from_task == to_task:
        return Rescaled(recipe=recipe, notes={})
    for name, strength in strengths_in(to_task).items():
        before = strength.read(recipe)
        stays = strength.keeps == "distance_from_default" and (not defaults_move or name in kept)
        after = before if stays else _moved(strength, before, axes[name], from_task, to_task)
        recipe = strength.put(recipe, after)
        if not math.isclose(before, after, rel_tol=1e-9):
            why = _why(strength, before, after, from_task, to_task)
            notes[name] = f"{name} {before:.6g} becomes {after:.6g}: it {why}."
    return Rescaled(recipe=recipe, notes=notes)


def _moved(strength: Strength, raw: float, axis: Axis, from_task: Task, to_task: Task) -> float:
    if isinstance(axis, FixedAxis):
        return axis.value
    if strength.keeps == "value":
        return raw
    if strength.keeps == "distance_from_default":
        shifted = raw + strength.default(to_task) - strength.default(from_task)
        # A value that lay above the range already is not pulled down to it.
        return min(max(shifted, 0.0), max(axis.high, raw))
    if raw == strength.off:
        return raw
    effective = to_effective(strength.name, raw, from_task)
    if strength.keeps == "effect_in_range":
        effective = axis.clamp(effective)
    low, high = strength.limits(to_task)
    return to_raw(strength.name, min(max(effective, low), high), to_task)


def _why(strength: Strength, before: float, after: float, from_task: Task, to_task: Task) -> str:
    if strength.keeps == "distance_from_default":
        sizes = f"{from_task.total_steps} and {to_task.total_steps} steps"
        if strength.default_grows_with == "images":
            sizes = f"{from_task.num_train} and {to_task.num_train} images"
        return f"keeps its distance from the defaults for {sizes}, within 0 and the range"
    was = to_effective(strength.name, before, from_task)
    becomes = to_effective(strength.name, after, to_task)
    if math.isclose(was, becomes, rel_tol=1e-6):
        return f"stays at {plain(was)} ({strength.unit})"
    way = f"from {plain(was)} to {plain(becomes)} ({strength.unit})"
    return f"moves {way}, the nearest that suits {to_task.total_steps} steps"
