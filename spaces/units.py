"""Conversion between raw and effective values of strengths.

A raw value means nothing without the length of the run: ``ema_decay=0.9999`` remembers 10 000
steps, which is 3 % of a DeiT run and 74 times a run on 300 images. Effective values say the same
for every length, so spaces are built, searched and moved between dataset sizes in them. What they
count is said where each strength is, in `spaces.strengths`.
"""

from spaces.errors import InputError
from spaces.strengths.registry import strength
from spaces.task import Task


def to_effective(name: str, raw: float, task: Task) -> float:
    """Convert a raw value to an effective one, which rises with it except for ``layer_decay``.

    Any raw value that a recipe may hold is converted, however little sense it makes here: plans
    show the reference in effective units too.

    Raises:
        InputError: If the name is unknown or a recipe may not hold the value.
    """
    asked = strength(name)
    asked.interval.require(name, raw)
    return asked.to_effective(raw, task)


def to_raw(name: str, effective: float, task: Task) -> float:
    """Convert an effective value to a raw one: the inverse of `to_effective` within `limits`.

    Raises:
        InputError: If the name is unknown, or the value is more than a run of this length can carry
            out (a window or a warmup longer than the run, say).
    """
    asked = strength(name)
    low, high = asked.limits(task)
    # The slack lets an end of the interval come back from its own raw value.
    if not low * (1 - 1e-8) <= effective <= high * (1 + 1e-8):
        way_out = f"; {asked.way_out}" if asked.way_out else ""
        raise InputError(
            f"`{plain(low)} <= {asked.unit} <= {plain(high)}` must hold for {name} in a run of "
            f"{task.total_steps} steps, but got {effective!r}{way_out}."
        )
    return asked.to_raw(min(max(effective, low), high), task)


def limits(name: str, task: Task) -> tuple[float, float]:
    """Return the smallest and largest effective value, both included, possible in this run.

    Raises:
        InputError: If the name is unknown.
    """
    return strength(name).limits(task)


def unit_of(name: str) -> str:
    """Return the unit of effective values.

    Raises:
        InputError: If the name is unknown.
    """
    return strength(name).unit


def describe(name: str, raw: float, task: Task) -> str:
    """Write a remark if a raw value makes no sense in this run, else return an empty text.

    Raises:
        InputError: If the name is unknown or a recipe may not hold the value.
    """
    asked = strength(name)
    asked.interval.require(name, raw)
    # Off is always a sensible value.
    remark = "" if raw == asked.off else asked.remark(raw, task)
    return f"{name} {raw:.6g} {remark}" if remark else ""


def plain(value: float) -> str:
    """Format a number with three significant digits, and large ones without an exponent."""
    return f"{value:.0f}" if 1000 <= value < 1e15 else f"{value:.3g}"
