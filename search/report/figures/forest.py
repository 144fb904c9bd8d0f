"""Rows of differences with intervals, one panel per measure, for an ablation or a contest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.report.figures.axes import TICK_SIZE, WIDE, Scale, round_ticks, tick_texts
from search.report.figures.dials import axis_limit
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.verdict.schema import Estimate

_ROW = 44.0
_HEAD = 44.0
_FOOT = 30.0
_GAP = 22.0
_LABELS = 190.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row.

    Attributes:
        label: In bold.
        words: Under it.
        inks: Colour of its marks by panel: blue for better, orange for worse, grey for neither.
    """

    label: str
    words: str
    inks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One measure.

    Attributes:
        title: What stands above it, with the unit.
        estimates: By row, scaled already; None where there is none.
        texts: Beside them, by row.
        left: What lies to the left of the line means.
        right: What lies to the right of it means.
        margin: Half-width of the zone that is too small to matter, 0 for none.
        is_reversed: Whether values below 0 lie to the right.
    """

    title: str
    estimates: tuple[Estimate | None, ...]
    texts: tuple[str, ...]
    left: str
    right: str
    margin: float = 0.0
    is_reversed: bool = False


def forest(rows: Sequence[Row], panels: Sequence[Panel], width: float) -> Drawing:
    """All panels over the same rows.

    Args:
        rows: From the top.
        panels: Side by side; below a width of `WIDE` above each other.
        width: In pixels.
    """
    height = _HEAD + len(rows) * _ROW + _FOOT
    items: list[Item] = []
    if width < WIDE:
        for number, panel in enumerate(panels):
            top = number * (height + _GAP)
            for i, row in enumerate(rows):
                y = top + _HEAD + i * _ROW + 14
                items.append(Text(at=(8.0, y), text=row.label, ink="ink", size=12, is_bold=True))
            items += _panel(panel, rows, number, (10.0, width - 10.0), top)
        return Drawing(width=width, height=len(panels) * (height + _GAP) - _GAP, items=tuple(items))
    for i, row in enumerate(rows):
        y = _HEAD + i * _ROW + 17
        items.append(Text(at=(8.0, y), text=row.label, ink="ink", size=12.5, is_bold=True))
        items.append(Text(at=(8.0, y + 15), text=row.words, size=10.5))
    room = (width - _LABELS - len(panels) * _GAP) / len(panels)
    for number, panel in enumerate(panels):
        left = _LABELS + _GAP / 2 + number * (room + _GAP)
        items += _panel(panel, rows, number, (left, left + room), 0.0)
    return Drawing(width=width, height=height, items=tuple(items))


def _panel(
    panel: Panel, rows: Sequence[Row], number: int, sides: tuple[float, float], top: float
) -> list[Item]:
    extents = [
        abs(value)
        for estimate in panel.estimates
        if estimate is not None and math.isfinite(estimate.mean)
        for value in (estimate.mean, *estimate.ci95)
        if math.isfinite(value)
    ]
    limit = axis_limit(extents, max(2 * panel.margin, 1e-3))
    low, high = (limit, -limit) if panel.is_reversed else (-limit, limit)
    x = Scale(low=low, high=high, start=sides[0], end=sides[1])
    items = _frame(panel, x, limit, top, len(rows))
    for i, (row, estimate) in enumerate(zip(rows, panel.estimates, strict=True)):
        y = top + _HEAD + i * _ROW
        items.append(Text(at=(x.end, y + 14), text=panel.texts[i], size=10.5, anchor="end"))
        if estimate is not None and math.isfinite(estimate.mean):
            title = f"{row.label}: {panel.texts[i]}"
            items += _bar(estimate, x, limit, y + 29, row.inks[number], title)
    return items


def _frame(panel: Panel, x: Scale, limit: float, top: float, num_rows: int) -> list[Item]:
    head, bottom = top + _HEAD, top + _HEAD + num_rows * _ROW
    items: list[Item] = [
        Text(at=(x.start, top + 13), text=panel.title, ink="ink", size=12, is_bold=True),
        Text(at=(x.start, head - 9), text=f"← {panel.left}", size=TICK_SIZE),
        Text(at=(x.end, head - 9), text=f"{panel.right} →", size=TICK_SIZE, anchor="end"),
    ]
    ticks = tick_texts(round_ticks(-limit, limit, 5), signed=True)
    for row in range(num_rows):
        # Each row has a strip for its words, which no line crosses, and under it one for its bar.
        upper, lower = head + row * _ROW + 18, head + (row + 1) * _ROW - 4
        if panel.margin:
            weak, strong = x(-panel.margin), x(panel.margin)
            zone = ((weak, upper), (strong, upper), (strong, lower), (weak, lower))
            items.append(Stroke(points=zone, ink="band", is_filled=True))
        items += [Stroke(points=((x(v), upper), (x(v), lower)), ink="grid") for v in ticks]
        items.append(Stroke(points=((x(0.0), upper), (x(0.0), lower)), ink="muted", width=1.4))
    items.append(Stroke(points=((x.start, bottom), (x.end, bottom)), ink="muted"))
    for value, text in ticks.items():
        at = (x(value), bottom + 16)
        items.append(Text(at=at, text=text, size=TICK_SIZE, anchor="middle"))
    return items


def _bar(estimate: Estimate, x: Scale, limit: float, y: float, ink: str, title: str) -> list[Item]:
    """An interval and its mean; an arrow on the edge stands for what lies beyond it."""
    low, high = estimate.ci95
    is_known = math.isfinite(low) and math.isfinite(high)

    def place(value: float) -> tuple[float, float]:
        return x(min(max(value, -limit), limit)), y

    def arrow(value: float) -> str:
        return "arrow_right" if place(value)[0] > x(0.0) else "arrow_left"

    ends = (place(low), place(high))
    width = 4.0 if is_known else 1.2
    items: list[Item] = [
        Stroke(points=ends, ink=ink, width=width, is_dashed=not is_known, opacity=0.55)
    ]
    beyond = [v for v in ((low, high) if is_known else ()) if abs(v) > limit]
    for value in beyond:
        at, shape = place(value), arrow(value)
        items.append(Mark(at=at, shape=shape, ink=ink, kind="beyond", size=3.5))
    is_inside = abs(estimate.mean) <= limit
    shape = "circle" if is_inside else arrow(estimate.mean)
    at = place(estimate.mean)
    hollow = low <= 0 <= high
    items.append(
        Mark(at=at, shape=shape, ink=ink, kind="effect", size=5.0, is_hollow=hollow, title=title)
    )
    return items
