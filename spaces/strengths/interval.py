"""Intervals of the raw values that a recipe may hold."""

import math
from dataclasses import dataclass

from spaces.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A range of finite numbers; by default all from 0 on.

    Attributes:
        low: Lower end.
        high: Upper end.
        has_low: Whether the lower end is included.
        has_high: Whether the upper end is included.
    """

    low: float = 0.0
    high: float = math.inf
    has_low: bool = True
    has_high: bool = False

    def require(self, name: str, value: object) -> None:
        """Raise if a value is no number or outside the interval.

        Raises:
            InputError: With the name, the interval and the value.
        """
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise InputError(f"`{name}` must be a number, but got {value!r}.")
        above = self.low <= value if self.has_low else self.low < value
        below = value <= self.high if self.has_high else value < self.high
        # Both comparisons are false for NaN.
        if not (above and below):
            left, right = "<=" if self.has_low else "<", "<=" if self.has_high else "<"
            raise InputError(
                f"`{self.low:g} {left} {name} {right} {self.high:g}` must hold, but got {value!r}."
            )
