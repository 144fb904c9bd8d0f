"""Axes on which strengths are searched: mappings between values and positions in ``[0, 1]``.

Longer than most modules: one contract and its four scales, which are read side by side.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import final

from spaces.errors import InputError

_ROUNDING = 1e-8
"""Relative tolerance at both ends: the rounding of ``1 - decay`` for a window of 1e8 steps.

Without it an end that was converted to a raw value and back would count as outside.
"""


class Axis(ABC):
    """A range of values and the way positions are spread over it.

    Position 0 is the low end and position 1 the high end; a higher position never means a lower
    value. ``str(axis)`` is the scale in words. Subclasses are final.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def low(self) -> float:
        """The smallest value, included: where position 0 lies."""

    @property
    @abstractmethod
    def high(self) -> float:
        """The largest value, included: where position 1 lies."""

    def decode(self, position: float) -> float:
        """Convert a position in ``[0, 1]``, both ends included, to a value.

        Raises:
            InputError: If the position lies outside ``[0, 1]``.
        """
        if not 0 <= position <= 1:
            raise InputError(f"`0 <= position <= 1` must hold, but got {position!r}.")
        return self._decode(position)

    def encode(self, value: float) -> float:
        """Convert a value to its position; the inverse of `decode`.

        Raises:
            InputError: If the axis does not contain the value.
        """
        self._require(value)
        return min(max(self._encode(self.clamp(value)), 0.0), 1.0)

    def contains(self, value: float) -> bool:
        """Whether the axis has this value, up to rounding."""
        return math.isclose(value, self.clamp(value), rel_tol=_ROUNDING)

    def clamp(self, value: float) -> float:
        """Return the value itself if the axis has it, else the nearest one above 0, or 0 (off)."""
        return self._clamp(value)

    def spanning(self, low: float, high: float) -> "Axis":
        """Return an axis with the same scale from ``low`` to ``high``, both included.

        A ``low`` of 0 on a scale that cannot come down to 0 makes 0 one separate value (off).

        Raises:
            InputError: If the ends do not fit the scale.
        """
        return self._spanning(low, high)

    def _require(self, value: float) -> None:
        if not self.contains(value):
            raise InputError(f"`{self.low:g} <= value <= {self.high:g}` must hold, got {value!r}.")

    @abstractmethod
    def _decode(self, position: float) -> float: ...

    @abstractmethod
    def _encode(self, value: float) -> float: ...

    @abstractmethod
    def _clamp(self, value: float) -> float: ...

    @abstractmethod
    def _spanning(self, low: float, high: float) -> "Axis": ...


@final
@dataclass(frozen=True, slots=True)
class LinearAxis(Axis):
    """A linear axis from ``low`` to ``high``, both finite and included, ``low < high``."""

    # An explicit field() because an inherited property would be taken for the default value.
    low: float = field()
    high: float = field()

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"`low < high` must hold, but got {self.low!r} and {self.high!r}.")

    def __str__(self) -> str:
        return "linear"

    def _decode(self, position: float) -> float:
        return self._clamp((1 - position) * self.low + position * self.high)

    def _encode(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def _clamp(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _spanning(self, low: float, high: float) -> "LinearAxis":
        return LinearAxis(low, high)


@final
@dataclass(frozen=True, slots=True)
class LogAxis(Axis):
    """A logarithmic axis from ``low`` to ``high``, both included, ``0 < low < high``."""

    low: float = field()
    high: float = field()

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise InputError(f"`0 < low < high` must hold, but got {self.low!r} and {self.high!r}.")

    def __str__(self) -> str:
        return "log"

    def _decode(self, position: float) -> float:
        if position == 1:
            return self.high  # low * (high / low) misses it by a rounding.
        return self._clamp(self.low * (self.high / self.low) ** position)

    def _encode(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def _clamp(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _spanning(self, low: float, high: float) -> "LogAxis | ZeroAxis":
        return LogAxis(low, high) if low != 0 else self._off_to(high)

    def _off_to(self, high: float) -> "ZeroAxis":
        # Where the new range ends below the old one, it keeps the old one's ratio of ends.
        low = self.low if self.low < high else high * self.low / self.high
        return ZeroAxis(LogAxis(low, high))


@final
@dataclass(frozen=True, slots=True)
class ZeroAxis(Axis):
    """A linear or log axis on which exactly 0 (off) has a share of the positions of its own.

    Without it a search would never propose 0: on a linear axis it has probability zero, and on a
    log axis it does not exist.

    Attributes:
        inner: The axis of the values above 0; its low end is at least 0.
        zero_share: Positions in ``[0, zero_share]`` decode to 0; in ``(0, 1)``.
    """

    inner: LinearAxis | LogAxis
    zero_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.zero_share < 1:
            raise InputError(f"`0 < zero_share < 1` must hold, but got {self.zero_share!r}.")
        if not self.inner.low >= 0:
            raise InputError(f"`low >= 0` must hold on an axis with 0, got {self.inner.low!r}.")

    def __str__(self) -> str:
        return f"0 or {self.inner}"

    @property
    def low(self) -> float:
        """Always 0."""
        return 0.0

    @property
    def high(self) -> float:
        """The high end of the inner axis."""
        return self.inner.high

    def _decode(self, position: float) -> float:
        if position <= self.zero_share:
            return 0.0
        return self.inner.decode(min((position - self.zero_share) / (1 - self.zero_share), 1.0))

    def _encode(self, value: float) -> float:
        if value == 0:
            return 0.0
        position = self.zero_share + (1 - self.zero_share) * self.inner.encode(value)
        # The smallest value above 0 must not land on the last position that means 0.
        return max(position, math.nextafter(self.zero_share, 1))

    def _clamp(self, value: float) -> float:
        return self.inner.clamp(value) if value > 0 else 0.0

    def _spanning(self, low: float, high: float) -> Axis:
        if low > 0:
            return self.inner.spanning(low, high)
        if isinstance(self.inner, LogAxis):
            return replace(self.inner._off_to(high), zero_share=self.zero_share)
        return ZeroAxis(LinearAxis(low, high), self.zero_share)


@final
@dataclass(frozen=True, slots=True)
class FixedAxis(Axis):
    """One value that is not searched; every position means it, and its own position is 0."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise InputError(f"A fixed value must be finite, but got {self.value!r}.")

    def __str__(self) -> str:
        return "fixed"

    @property
    def low(self) -> float:
        """The value."""
        return self.value

    @property
    def high(self) -> float:
        """The value."""
        return self.value

    def _decode(self, position: float) -> float:
        return self.value

    def _encode(self, value: float) -> float:
        return 0.0

    def _clamp(self, value: float) -> float:
        return self.value

    def _spanning(self, low: float, high: float) -> "FixedAxis":
        if not low <= self.value <= high:
            raise InputError(f"`low <= {self.value:g} <= high` must hold, got {low!r}, {high!r}.")
        return self
