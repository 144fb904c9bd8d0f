"""Scales, ticks and the frame of a panel."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from search.records.metrics import metric_of
from search.report.figures.drawing import Item, Stroke, Text
from search.verdict.wording import metric_label

TICK_SIZE = 11.0
WIDE = 560.0
"""Width from which on panels stand side by side; below it, as on a phone, above each other."""


def axis_title(metric: str) -> str:
    """What stands above the axis of a metric that is reported under this name."""
    return f"{metric_label(metric)}, {metric_of(metric).unit.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Where the plotting area of a panel lies, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def two_boxes(
    width: float, *, top: float, height: float, right_margin: float, below: float
) -> tuple[Box, Box]:
    """Two panels side by side, or on a narrow page one above the other.

    Args:
        width: Of the page.
        top: Upper edge of the first.
        height: Of each.
        right_margin: Room right of each for labels.
        below: Room under each for labels.
    """
    margin = 36.0
    if width < WIDE:
        second = top + height + below + 30.0
        right = width - right_margin
        return (
            Box(left=margin, top=top, right=right, bottom=top + height),
            Box(left=margin, top=second, right=right, bottom=second + height),
        )
    inner = width / 2 - margin - right_margin - 6.0
    first, second = margin, width / 2 + margin + 6.0
    return (
        Box(left=first, top=top, right=first + inner, bottom=top + height),
        Box(left=second, top=top, right=second + inner, bottom=top + height),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Where on the page a value lies.

    Attributes:
        low: Value at the pixel ``start``.
        high: Value at the pixel ``end``.
        start: First pixel; larger than ``end`` on an axis that points up.
        end: Last pixel.
        stretch: 0 for a linear scale; above 0, values are spread as ``log(1 + value / stretch)``:
            near 0 it is linear, far above it logarithmic, and 0 itself has a place.
    """

    low: float
    high: float
    start: float
    end: float
    stretch: float = 0.0

    def __call__(self, value: float) -> float:
        """The pixel of a value, outside of ``start`` and ``end`` if the value is outside."""
        low, high = self._bent(self.low), self._bent(self.high)
        return self.start + (self._bent(value) - low) / (high - low) * (self.end - self.start)

    def clamped(self, value: float) -> float:
        """The pixel of a value, or the nearest end."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, most: int) -> list[float]:
        """Round values inside the scale, at most ``most``."""
        if self.stretch:
            round_values = [0.0, *(m * 10.0**e for e in range(-3, 6) for m in (1.0, 2.0, 5.0))]
            spaced = [value for value in round_values if value == 0.0 or value >= self.stretch]
            return [value for value in spaced if self.low <= value <= self.high][-most:]
        return round_ticks(self.low, self.high, most)

    def _bent(self, value: float) -> float:
        if not self.stretch:
            return value
        share = value / self.stretch
        return math.log1p(share) if share > 0 else share


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in ``[low, high]``, at most ``most``.

    Args:
        low: Low end.
        high: High end, above ``low``.
        most: At least 2.
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [i * step + 0.0 for i in range(first, last + 1)]
    raise AssertionError("a step of 20 powers leaves fewer ticks than asked for")


def tick_texts(values: Sequence[float], *, signed: bool = False) -> dict[float, str]:
    """Labels with as many decimals as tell the values apart, and with a true minus sign."""
    gaps = [abs(b - a) for a, b in pairwise(values) if b != a]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 0
    sign = "+" if signed else ""
    return {
        value: f"{value:{sign}.{decimals}f}".replace("-", "−") if value else "0" for value in values
    }


def padded(values: Iterable[float], *, least: float, share: float = 0.08) -> tuple[float, float]:
    """Ends of an axis that holds all finite values with some air, at least ``least`` apart."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    air = max((high - low) * share, (least - (high - low)) / 2)
    return low - air, high + air


def frame(
    x: Scale,
    y: Scale,
    *,
    x_ticks: Mapping[float, str],
    y_ticks: Mapping[float, str],
    x_label: str,
    y_label: str,
) -> list[Item]:
    """Grid lines with their labels; no word stands sideways."""
    left, right = sorted((x.start, x.end))
    bottom = max(y.start, y.end)
    items: list[Item] = []
    for value, text in y_ticks.items():
        items.append(Stroke(points=((left, y(value)), (right, y(value))), ink="grid"))
        at = (left - 6, y(value) + 4)
        items.append(Text(at=at, text=text, size=TICK_SIZE, anchor="end"))
    items.append(Stroke(points=((left, bottom), (right, bottom)), ink="muted"))
    for value, text in x_ticks.items():
        items.append(Stroke(points=((x(value), bottom), (x(value), bottom + 4)), ink="muted"))
        at = (x(value), bottom + 16)
        items.append(Text(at=at, text=text, size=TICK_SIZE, anchor="middle"))
    top = min(y.start, y.end)
    items.append(Text(at=(left - 28, top - 12), text=y_label, size=TICK_SIZE))
    items.append(Text(at=(right, bottom + 32), text=x_label, size=TICK_SIZE, anchor="end"))
    return items


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least ``gap`` apart if there is room.

    Args:
        wanted: Where labels would stand.
        gap: Least distance of two.
        low: No label lies below it, even if gaps must shrink for that.
        high: No label lies above it while there is room.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    floor = low
    for i in order:
        placed[i] = max(wanted[i], floor)
        floor = placed[i] + gap
    ceiling = high
    for i in reversed(order):
        placed[i] = max(min(placed[i], ceiling), low)
        ceiling = placed[i] - gap
    return placed
