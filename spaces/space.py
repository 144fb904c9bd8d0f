"""The search space of a task: an axis per strength, between positions and raw values.

The module is longer than most because of the changes that a user may make to a space.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from spaces.axes import Axis, FixedAxis, ZeroAxis
from spaces.errors import InputError
from spaces.ranges import extra_axis, strength_axes
from spaces.recipe import Recipe
from spaces.strengths.registry import EXTRAS, STRENGTHS, known, strength
from spaces.task import Task
from spaces.units import limits, to_effective, to_raw, unit_of


@dataclass(frozen=True, slots=True)
class Space:
    """The search space of one task.

    Attributes:
        task: Sizes that the ranges depend on.
        axes: Axes in effective units, by name of a strength or an extra; a `FixedAxis` holds the
            raw value instead, exactly as it was given.
    """

    task: Task
    axes: Mapping[str, Axis]

    @classmethod
    def for_task(cls, task: Task) -> "Space":
        """Make the space with every strength over its range in `spaces.strengths`.

        A strength that cannot act (drop path in a model without residual blocks) is fixed at off.

        Raises:
            InputError: If the run is too short to be searched.
        """
        return cls(task, strength_axes(task))

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the axes that are searched."""
        return tuple(name for name, axis in self.axes.items() if not isinstance(axis, FixedAxis))

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Names of the axes that are no strengths, and searched or fixed where a user asks."""
        return tuple(name for name in self.axes if name not in STRENGTHS)

    @property
    def names(self) -> tuple[str, ...]:
        """Every strength, searched or fixed, and every extra that is searched."""
        searched = self.free_names
        return tuple(n for n in known() if n in self.axes and (n in STRENGTHS or n in searched))

    @property
    def dial_names(self) -> tuple[str, ...]:
        """Those of `names` that get a dial: a nuisance such as the learning rate gets none."""
        return tuple(name for name in self.names if strength(name).has_dial)

    def decode(self, positions: Mapping[str, float]) -> dict[str, float]:
        """Convert positions on the free axes to raw values of all axes.

        A searched learning rate is decoded first: the same pull W is another weight decay under
        another learning rate. Where W asks for more than a weight decay of 10 it gets 10.

        Raises:
            InputError: If a position is missing, unknown or outside ``[0, 1]``.
        """
        _require_names("position", positions, needed=self.free_names, known=tuple(self.axes))
        task, raw = self.task, dict[str, float]()
        for name, axis in self._task_first():
            if isinstance(axis, FixedAxis):
                raw[name] = axis.value
            else:
                raw[name] = _attainable_raw(name, axis.decode(positions[name]), task)
            task = _task_with(name, raw[name], task)
        return {name: raw[name] for name in self.axes}

    def encode(self, raw: Mapping[str, float], *, clamped: bool = False) -> dict[str, float]:
        """Convert raw values of at least the free axes to positions; inverse of `decode`.

        Args:
            raw: By name; a name without an axis is an error.
            clamped: Whether a value outside its range becomes the nearest end. The reference of a
                large run usually lies outside the space of a small one.

        Raises:
            InputError: If a value is missing or unknown, or outside its range without ``clamped``.
        """
        _require_names("raw value", raw, needed=self.free_names, known=tuple(self.axes))
        task, positions = self.task, dict[str, float]()
        for name, axis in self._task_first():
            task = _task_with(name, axis.clamp(raw.get(name, axis.low)), task)
            if isinstance(axis, FixedAxis):
                if not clamped and raw.get(name, axis.value) != axis.value:
                    raise InputError(f"`{name}` is fixed at {axis.value:g}, got {raw[name]!r}.")
                continue
            effective = to_effective(name, raw[name], task)
            if not clamped and not axis.contains(effective):
                low, high = sorted(_attainable_raw(name, e, task) for e in (axis.low, axis.high))
                raise InputError(
                    f"`{low:.6g} <= {name} <= {high:.6g}` must hold, but got {raw[name]!r}."
                )
            positions[name] = axis.encode(axis.clamp(effective))
        return {name: positions[name] for name in self.free_names}

    def contains(self, name: str, raw: float) -> bool:
        """Whether a raw value lies in the range of its axis, at the task's own learning rate.

        Raises:
            InputError: If the space has no such axis or a recipe may not hold the value.
        """
        axis = self._axis(name)
        if isinstance(axis, FixedAxis):
            return axis.contains(raw)
        return axis.contains(to_effective(name, raw, self.task))

    def with_range(self, name: str, low: float, high: float) -> "Space":
        """Return this space with another range of one axis, in raw units, both ends included.

        Narrower or wider. A ``low`` of 0 includes off; an extra is switched on by its range.

        Raises:
            InputError: If the name is unknown, an end is more than this run can carry out, the ends
                are not in order, or the axis is fixed.
        """
        space = self.with_extra(name) if name in EXTRAS else self
        axis = space._axis(name)
        if isinstance(axis, FixedAxis):
            raise InputError(f"`{name}` is fixed at {axis.value:g} and cannot be given a range.")
        if not low < high:
            raise InputError(f"`low < high` must hold for {name}, but got {low!r}:{high!r}.")
        for end in (low, high):
            _require_possible(name, end, self.task)
        weak, strong = sorted(to_effective(name, end, self.task) for end in (low, high))
        return replace(space, axes={**space.axes, name: axis.spanning(weak, strong)})

    def fixed(self, name: str, value: float) -> "Space":
        """Return this space with one strength or extra fixed at any raw value.

        Raises:
            InputError: If the name is unknown, a recipe may not hold the value, or the axis is
                already fixed at another one.
        """
        to_effective(name, value, self.task)  # Refuses what a recipe may not hold.
        axis = self.axes.get(name)
        if isinstance(axis, FixedAxis) and axis.value != value:
            raise InputError(f"`{name}` is already fixed at {axis.value:g}, but got {value!r}.")
        return replace(self, axes={**self.axes, name: FixedAxis(value)})

    def with_extra(self, name: str) -> "Space":
        """Return this space with one more axis, searched over its default range, if it lacks it.

        The name is one of `spaces.strengths.registry.EXTRAS`.

        Raises:
            InputError: If there is no such extra.
        """
        if name in self.axes:
            return self
        return replace(self, axes={**self.axes, name: extra_axis(name, self.task)})

    def apply(self, recipe: Recipe, raw: Mapping[str, float]) -> Recipe:
        """Return the recipe with raw values, as `decode` returns them.

        Raises:
            InputError: If a name is unknown or a recipe may not hold a value.
        """
        for name, value in raw.items():
            recipe = strength(name).put(recipe, value)
        return recipe

    def copied(self, recipe: Recipe, source: Recipe, names: Iterable[str]) -> Recipe:
        """Return the recipe with the strengths and extras of these names copied from ``source``."""
        for name in names:
            recipe = strength(name).copied(recipe, source)
        return recipe

    def raw_of(self, recipe: Recipe) -> dict[str, float]:
        """Read a recipe's raw values of the axes of this space; the inverse of `apply`."""
        return {name: strength(name).read(recipe) for name in self.axes}

    def to_dict(self) -> dict[str, Any]:
        """Convert each axis for ``plan.json``: scale, unit and ends ``[weakest, strongest]``.

        The ends are in effective and in raw units (at the task's own learning rate).
        """
        return {name: self._axis_dict(name, axis) for name, axis in self.axes.items()}

    def _axis_dict(self, name: str, axis: Axis) -> dict[str, Any]:
        if isinstance(axis, FixedAxis):
            raw = [axis.value, axis.value]
            effective = [to_effective(name, value, self.task) for value in raw]
        else:
            effective = [axis.low, axis.high]
            raw = [_attainable_raw(name, value, self.task) for value in effective]
        return {
            "scale": str(axis),
            "unit": unit_of(name),
            "effective": effective,
            "raw": raw,
            "above_zero": axis.inner.low if isinstance(axis, ZeroAxis) else None,
        }

    def _axis(self, name: str) -> Axis:
        if name not in self.axes:
            raise InputError(f"Unknown axis {name!r}; this space has {', '.join(self.axes)}.")
        return self.axes[name]

    def _task_first(self) -> list[tuple[str, Axis]]:
        """List the axes, those first on which effective values of others depend."""
        return sorted(self.axes.items(), key=lambda item: strength(item[0]).task_with is None)


def parse_set(text: str) -> tuple[str, float, float]:
    """Parse ``label_smoothing=0:0.3``, as given to ``--set``, into ``(name, low, high)``.

    Raises:
        InputError: If the text has another form or the name is unknown.
    """
    name, _, ends = text.partition("=")
    low, colon, high = ends.partition(":")
    if not colon:
        raise InputError(f"`--set` takes name=low:high, like label_smoothing=0:0.3, got {text!r}.")
    return _known(name), _number(low, text), _number(high, text)


def parse_fix(text: str) -> tuple[str, float]:
    """Parse ``drop_path_rate=0``, as given to ``--fix``, into ``(name, value)``.

    Raises:
        InputError: If the text has another form or the name is unknown.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"`--fix` takes name=value, like drop_path_rate=0, but got {text!r}.")
    return _known(name), _number(value, text)


def _known(name: str) -> str:
    if name.strip() not in known():
        raise InputError(f"Unknown name {name!r}; known are {', '.join(known())}.")
    return name.strip()


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise InputError(f"{digits!r} in {text!r} must be a number.") from None


def _task_with(name: str, value: float, task: Task) -> Task:
    """Return the task with a value of this axis, if effective units of others depend on it."""
    change = strength(name).task_with
    return task if change is None else change(task, value)


def _attainable_raw(name: str, effective: float, task: Task) -> float:
    low, high = limits(name, task)
    return to_raw(name, min(max(effective, low), high), task)


def _require_possible(name: str, raw: float, task: Task) -> None:
    low, high = limits(name, task)
    if not low * (1 - 1e-8) <= to_effective(name, raw, task) <= high * (1 + 1e-8):
        first, second = sorted(to_raw(name, end, task) for end in (low, high))
        raise InputError(
            f"`{first:.6g} <= {name} <= {second:.6g}` must hold in a run of {task.total_steps} "
            f"steps at learning rate {task.lr:g}, but got {raw!r}; ask for less or raise `epochs`."
        )


def _require_names(
    what: str, given: Mapping[str, float], *, needed: tuple[str, ...], known: tuple[str, ...]
) -> None:
    missing = [name for name in needed if name not in given]
    if missing:
        raise InputError(f"A {what} for {missing[0]!r} is missing; needed are {', '.join(needed)}.")
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(f"Unknown {what} {unknown[0]!r}; known are {', '.join(known)}.")
