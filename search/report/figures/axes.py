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
"""Smallest width in pixels for panels side by side; on narrower pages they are stacked."""


def axis_title(metric: str) -> str:
    """Return the title of the axis of a reported metric: its name in words and its unit."""
    return f"{metric_label(metric)}, {metric_of(metric).unit.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """The plotting area of a panel, by its edges in pixels from the top left of the drawing."""

    left: float
    top: float
    right: float
    bottom: float


def two_boxes(
    width: float, *, top: float, height: float, right_margin: float, below: float
) -> tuple[Box, Box]:
    """Place two panels side by side, or on a narrow page one above the other.

    Args:
        width: Width of the page, in pixels like all lengths here.
        top: Upper edge of the first panel.
        height: Height of each panel.
        right_margin: Room for labels at the right of each panel.
        below: Room for labels under each panel.
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
    """A mapping from the values of an axis to pixels.

    Attributes:
        low: Value at the pixel ``start``.
        high: Value at the pixel ``end``.
        start: First pixel; larger than ``end`` on an axis that points up.
        end: Last pixel.
        stretch: 0 for a linear scale; above 0, values are spread as ``log(1 + value / stretch)``:
            linear near 0, logarithmic far above ``stretch``, and defined at 0.
    """

    low: float
    high: float
    start: float
    end: float
    stretch: float = 0.0

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; a value outside the axis gets a pixel outside of it."""
        low, high = self._bent(self.low), self._bent(self.high)
        return self.start + (self._bent(value) - low) / (high - low) * (self.end - self.start)

    def clamped(self, value: float) -> float:
        """Return the pixel of a value, or that of the nearest end of the axis."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, most: int) -> list[float]:
        """Choose round values inside the scale, at most ``most``."""
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
    """List the multiples of 1, 2 or 5 times a power of ten in ``[low, high]``, at most ``most``.

    Args:
        low: Low end.
        high: High end, above ``low``.
        most: Largest number of ticks, at least 2.
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [i * step + 0.0 for i in range(first, last + 1)]
    raise AssertionError("a step of 20 powers leaves fewer ticks than asked for")


def tick_texts(values: Sequence[float], *, signed: bool = False) -> dict[float, str]:
    """Format the values with the decimals that tell them apart, and with a true minus sign."""
    gaps = [abs(b - a) for a, b in pairwise(values) if b != a]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 0
    sign = "+" if signed else ""
    return {
        value: f"{value:{sign}.{decimals}f}".replace("-", "−") if value else "0" for value in values
    }


def padded(values: Iterable[float], *, least: float, share: float = 0.08) -> tuple[float, float]:
    """Choose the ends of an axis around all finite values, at least ``least`` apart.

    The margin at each end is ``share`` of the values' range, or more to reach ``least``.
    """
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
    """Draw grid lines, tick labels and axis titles of a panel; all text is horizontal."""
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
    """Move labels apart: places near the wanted ones, in the same order, ``gap`` or more apart.

    Args:
        wanted: Preferred places of the labels.
        gap: Smallest distance between two labels.
        low: Lower limit of all places, even if the gaps must shrink for it.
        high: Upper limit of all places while there is room.
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
