"""Moving strengths from a run of one size to a run of another, by what they amount to."""

import math
from dataclasses import dataclass

from spaces.anchors import scaled_strengths
from spaces.axes import FixedAxis
from spaces.ranges import strength_axes
from spaces.strengths import STRENGTH_NAMES, Strengths
from spaces.task import Task
from spaces.units import EFFECTIVE_UNITS, limits, plain, to_effective, to_raw


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescaled:
    """Strengths for the other run, and one sentence per strength that moved."""

    strengths: Strengths
    notes: tuple[str, ...]


def rescale(strengths: Strengths, from_task: Task, to_task: Task) -> Rescaled:
    """The strengths that mean for ``to_task`` what these mean for ``from_task``.

    Weight decay keeps its total pull W, and EMA its window as a share of the run, as far as the new
    run can carry them out; warmup keeps its steps within the range of the new run; what is off of
    these three stays off. Drop path and smoothing keep their distance from their size-scaled
    defaults: a search on 300 images that settles on the default of no smoothing says nothing
    against it on a million. Equal tasks move nothing.

    Raises:
        InputError: If the new run is too short for strengths to mean anything.
    """
    axes = strength_axes(to_task)
    if from_task == to_task:
        return Rescaled(strengths=strengths, notes=())
    old_default, new_default = scaled_strengths(from_task), scaled_strengths(to_task)
    moved = {}
    for name, raw in strengths.as_dict().items():
        axis = axes[name]
        if isinstance(axis, FixedAxis):
            moved[name] = axis.value
        elif name in ("label_smoothing", "drop_path_rate"):
            shifted = raw + getattr(new_default, name) - getattr(old_default, name)
            # A value that lay above the range already is not pulled down to it.
            moved[name] = min(max(shifted, 0.0), max(axis.high, raw))
        elif raw == 0:
            moved[name] = 0.0
        else:
            effective = to_effective(name, raw, from_task)
            if name == "warmup_fraction":
                effective = axis.clamp(effective)
            low, high = limits(name, to_task)
            moved[name] = to_raw(name, min(max(effective, low), high), to_task)
    new = Strengths(**moved)
    notes = (_note(name, strengths, new, from_task, to_task) for name in STRENGTH_NAMES)
    return Rescaled(strengths=new, notes=tuple(note for note in notes if note))


def _note(name: str, old: Strengths, new: Strengths, from_task: Task, to_task: Task) -> str:
    before, after = getattr(old, name), getattr(new, name)
    if math.isclose(before, after, rel_tol=1e-9):
        return ""
    was, becomes = to_effective(name, before, from_task), to_effective(name, after, to_task)
    unit, steps = EFFECTIVE_UNITS[name], to_task.total_steps
    if name == "label_smoothing":
        sizes = f"{from_task.num_train} and {to_task.num_train} images"
        why = f"keeps its distance from the defaults for {sizes}, within 0 and the range"
    elif name == "drop_path_rate":
        lengths = f"{from_task.total_steps} and {steps} steps"
        why = f"keeps its distance from the defaults for {lengths}, within 0 and the range"
    elif math.isclose(was, becomes, rel_tol=1e-6):
        why = f"stays at {plain(was)} {unit}"
    else:
        way = f"from {plain(was)} to {plain(becomes)} {unit}"
        why = f"moves {way}, the nearest that suits {steps} steps"
    return f"{name} {before:.6g} becomes {after:.6g}: it {why}."
