"""Warnings that the best values of a strength may be outside of its range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spaces.axes import Axis, LogAxis, ZeroAxis
from spaces.space import Space
from spaces.strengths.registry import strength
from spaces.units import limits, plain, to_raw, unit_of

EDGE = 0.1
"""Share of the axis next to an end that counts as near it."""
CROWD = 0.5
"""Share of the best trials near one end that counts as a crowd; positions spread evenly put three
of five there in fewer than one of a hundred cases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeWarning:
    """A warning that many of the best trials are near one end of an axis.

    Attributes:
        name: The strength or extra.
        end: ``low`` or ``high``.
        num_near: Best trials near that end.
        num_best: Best trials looked at.
        effective: Range to try next, ``(low, high)`` in effective units; None if the run cannot go
            beyond this end.
        raw: The same in raw units, in rising order, as ``--set`` takes it.
        message: All of this as one sentence.
    """

    name: str
    end: str
    num_near: int
    num_best: int
    effective: tuple[float, float] | None
    raw: tuple[float, float] | None
    message: str


def edge_warnings(
    space: Space, best_positions: Sequence[Mapping[str, float]]
) -> tuple[EdgeWarning, ...]:
    """List every end of an axis that at least half of the best trials, and two or more, are near.

    An end that is exactly 0 or otherwise off is no edge: nothing lies beyond it. The range to try
    next reaches half as far again beyond the crowded end, on the axis's own scale, as far as the
    run can carry it out (Tuning Playbook: best points near a boundary mean widen it).

    Args:
        space: What was searched.
        best_positions: Positions of the best trials, say the best tenth or the best five.
    """
    warnings = []
    for name in space.free_names:
        axis = space.axes[name]
        positions = [best[name] for best in best_positions]
        near = {
            "low": sum(position <= EDGE for position in positions),
            "high": sum(position >= 1 - EDGE for position in positions),
        }
        for end, count in near.items():
            crowded = count >= max(2, CROWD * len(positions))
            if crowded and not (end == "low" and _low_end_is_off(name, axis, space)):
                warnings.append(_warning(space, name, end, count, len(positions)))
    return tuple(warnings)


def _low_end_is_off(name: str, axis: Axis, space: Space) -> bool:
    return axis.low == 0 or to_raw(name, axis.low, space.task) == strength(name).off


def _warning(space: Space, name: str, end: str, num_near: int, num_best: int) -> EdgeWarning:
    axis, task, unit = space.axes[name], space.task, unit_of(name)
    weakest, strongest = limits(name, task)
    low, high = _widened(axis, end)
    low, high = max(low, weakest), min(high, strongest)
    crowd = f"{num_near} of the best {num_best} trials lie at the {end} end of {name}"
    edge = axis.low if end == "low" else axis.high
    if axis.contains(low) and axis.contains(high):
        is_last = strength(name).interval.has_high and to_raw(name, edge, task) == (
            strength(name).interval.high
        )
        how_far = "it goes" if is_last else f"{task.total_steps} steps go"
        message = f"{crowd}, {unit} {plain(edge)}, which is as far as {how_far}."
        effective = raw = None
    else:
        effective = (low, high)
        first, second = sorted(to_raw(name, value, task) for value in effective)
        raw = (first, second)
        message = (
            f"{crowd}, {unit} {plain(edge)}: try {unit} {plain(low)} to {plain(high)}, "
            f"--set {name}={first:.6g}:{second:.6g}."
        )
    return EdgeWarning(
        name=name,
        end=end,
        num_near=num_near,
        num_best=num_best,
        effective=effective,
        raw=raw,
        message=message,
    )


def _widened(axis: Axis, end: str) -> tuple[float, float]:
    # A ZeroAxis keeps its 0, but its span is that of the values above 0.
    inner = axis.inner if isinstance(axis, ZeroAxis) else axis
    if isinstance(inner, LogAxis):
        factor = (inner.high / inner.low) ** 0.5
        low, high = inner.low / factor, inner.high * factor
    else:
        half = (inner.high - inner.low) / 2
        low, high = inner.low - half, inner.high + half
    return (low, axis.high) if end == "low" else (axis.low, high)
