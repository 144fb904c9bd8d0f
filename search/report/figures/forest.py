"""Forest plot: rows of differences with 95 % intervals, one panel per measure.

The dials of a search, the ingredients of an ablation and the optimizers of a contest are all drawn
by this module from their own rows and panels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.report.figures.axes import TICK_SIZE, WIDE, Scale, round_ticks, tick_texts
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.verdict.schema import Estimate

_OUTLIER = 4.0
"""Ratio of the largest effect to the next above which the largest does not set the axis."""
_LEAST_LIMIT = 1e-3
_ROW = 46.0
_HEAD = 44.0
_FOOT = 28.0
_GAP = 26.0
_LABELS = 212.0
_MARGIN = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """The content of one row in one panel.

    Attributes:
        estimate: The difference in the unit of the panel, or None.
        text: The estimate in words, above its bar.
        ink: Colour of the bar and its mark.
        is_hollow: Whether the mark is hollow, the sign of an undecided difference.
        missing: Text in place of the bar if there is no finite estimate.
    """

    estimate: Estimate | None
    text: str
    ink: str
    is_hollow: bool
    missing: str = ""

    @property
    def shown(self) -> Estimate | None:
        """The estimate if its mean is finite, else None."""
        known = self.estimate is not None and math.isfinite(self.estimate.mean)
        return self.estimate if known else None

    @property
    def extent(self) -> float:
        """Largest distance from zero of the mean and of the finite ends of the interval."""
        if self.shown is None:
            return 0.0
        values = (self.shown.mean, *self.shown.ci95)
        return max(abs(value) for value in values if math.isfinite(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row, with a cell in each panel.

    Attributes:
        label: Text in bold.
        words: Text under the label.
        cells: One cell per panel.
        mark: Mark before the label; its position is ignored.
    """

    label: str
    words: str
    cells: tuple[Cell, ...]
    mark: Mark | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One panel: a measure with its axis.

    Attributes:
        title: Title with the unit.
        left: Meaning of values to the left of zero.
        right: Meaning of values to the right of zero.
        margin: Half-width of the zone of differences too small to matter, 0 for none.
        is_reversed: Whether values below 0 are drawn to the right.
        is_whole: Whether the axis holds every interval, also one far larger than all others.
    """

    title: str
    left: str
    right: str
    margin: float = 0.0
    is_reversed: bool = False
    is_whole: bool = False


def forest(rows: Sequence[Row], panels: Sequence[Panel], width: float) -> Drawing:
    """Draw all panels over the same rows.

    Args:
        rows: Rows from the top.
        panels: Panels side by side; stacked below a width of `WIDE`.
        width: Width of the drawing in pixels.
    """
    height = _HEAD + len(rows) * _ROW + _FOOT
    items: list[Item] = []
    if width < WIDE:
        for number, panel in enumerate(panels):
            top = number * (height + _GAP)
            cells = [row.cells[number] for row in rows]
            items += _panel(panel, rows, cells, (_MARGIN, width - _MARGIN), top)
            for row, cell, y in zip(rows, cells, _tops(rows, top), strict=True):
                items += _label(row, (18.0, y + 18), size=12.0)
                items.append(Text(at=(width - 6, y + 18), text=cell.text, size=11, anchor="end"))
        return Drawing(width=width, height=len(panels) * (height + _GAP) - _GAP, items=tuple(items))
    for row, y in zip(rows, _tops(rows, 0.0), strict=True):
        items += _label(row, (20.0, y + _ROW / 2), size=13.0)
        items.append(Text(at=(20.0 - _outdent(row), y + _ROW / 2 + 16), text=row.words))
    room = (width - _LABELS - (len(panels) - 1) * _GAP - _MARGIN) / len(panels)
    for number, panel in enumerate(panels):
        left = _LABELS + number * (room + _GAP)
        cells = [row.cells[number] for row in rows]
        items += _panel(panel, rows, cells, (left, left + room), 0.0)
        for cell, y in zip(cells, _tops(rows, 0.0), strict=True):
            at = (left + room, y + 15)
            items.append(Text(at=at, text=cell.text, size=10.5, anchor="end"))
    return Drawing(width=width, height=height, items=tuple(items))


def axis_limit(extents: Sequence[float], least: float) -> float:
    """Choose the half-width of an axis for all extents except a single one far above the others."""
    finite = sorted((extent for extent in extents if math.isfinite(extent)), reverse=True)
    largest, following = (*finite, least, least)[:2]
    is_alone = largest > _OUTLIER * max(following, least)
    return 1.12 * max(following if is_alone else largest, least)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Convert an estimate to another unit by a factor above 0."""
    low, high = estimate.ci95
    return Estimate(mean=factor * estimate.mean, ci95=(factor * low, factor * high))


def _tops(rows: Sequence[Row], top: float) -> list[float]:
    return [top + _HEAD + number * _ROW for number in range(len(rows))]


def _outdent(row: Row) -> float:
    return 0.0 if row.mark else 12.0


def _label(row: Row, at: tuple[float, float], *, size: float) -> list[Item]:
    left = at[0] - _outdent(row)
    name = Text(at=(left, at[1]), text=row.label, ink="ink", size=size, is_bold=True)
    return [replace(row.mark, at=(8.0, at[1] - 4)), name] if row.mark else [name]


def _panel(
    panel: Panel,
    rows: Sequence[Row],
    cells: Sequence[Cell],
    sides: tuple[float, float],
    top: float,
) -> list[Item]:
    extents = [cell.extent for cell in cells if cell.shown]
    least = max(2 * panel.margin, _LEAST_LIMIT)
    limit = 1.12 * max([*extents, least]) if panel.is_whole else axis_limit(extents, least)
    low, high = (limit, -limit) if panel.is_reversed else (-limit, limit)
    x = Scale(low=low, high=high, start=sides[0], end=sides[1])
    items = _frame(panel, x, limit, top, len(rows))
    for row, cell, upper in zip(rows, cells, _tops(rows, top), strict=True):
        y = upper + 31
        if cell.shown is not None:
            items += _bar(cell, cell.shown, x, limit, y, f"{row.label}: {cell.text}")
        elif cell.missing:
            items.append(Text(at=(x(0.0) + 8, y + 4), text=cell.missing, size=11, has_halo=True))
    return items


def _frame(panel: Panel, x: Scale, limit: float, top: float, num_rows: int) -> list[Item]:
    head, bottom = top + _HEAD, top + _HEAD + num_rows * _ROW
    ticks = tick_texts(round_ticks(-limit, limit, 5), signed=True)
    items: list[Item] = [
        Text(at=(x.start, top + 13), text=panel.title, ink="ink", size=12, is_bold=True),
        Text(at=(x.start, head - 8), text=f"← {panel.left}", size=TICK_SIZE),
        Text(at=(x.end, head - 8), text=f"{panel.right} →", size=TICK_SIZE, anchor="end"),
    ]
    for row in range(num_rows):
        # Grid lines are drawn in the lower strip of a row, not across the text in the upper one.
        upper, lower = head + row * _ROW + 20, head + (row + 1) * _ROW - 4
        if panel.margin:
            weak, strong = sorted((x(-panel.margin), x(panel.margin)))
            zone = ((weak, upper), (strong, upper), (strong, lower), (weak, lower))
            items.append(Stroke(points=zone, ink="band", is_filled=True))
        items += [Stroke(points=((x(v), upper), (x(v), lower)), ink="grid") for v in ticks]
        items.append(Stroke(points=((x(0.0), upper), (x(0.0), lower)), ink="muted", width=1.4))
        if row:
            line = head + row * _ROW
            items.append(Stroke(points=((x.start, line), (x.end, line)), ink="grid"))
    items.append(Stroke(points=((x.start, bottom), (x.end, bottom)), ink="muted"))
    for value, text in ticks.items():
        items.append(Stroke(points=((x(value), bottom), (x(value), bottom + 4)), ink="muted"))
        at = (x(value), bottom + 17)
        items.append(Text(at=at, text=text, size=TICK_SIZE, anchor="middle"))
    return items


def _bar(
    cell: Cell, estimate: Estimate, x: Scale, limit: float, y: float, title: str
) -> list[Item]:
    """Draw an interval and its mean; values beyond the axis become arrows at its edge."""
    low, high = estimate.ci95
    is_known = math.isfinite(low) and math.isfinite(high)

    def place(value: float) -> tuple[float, float]:
        return x(min(max(value, -limit), limit)), y

    def shape(value: float) -> str:
        if abs(value) <= limit:
            return "circle"
        return "arrow_right" if place(value)[0] > x(0.0) else "arrow_left"

    bar = Stroke(
        points=(place(low), place(high)),
        ink=cell.ink,
        width=4.0 if is_known else 1.2,
        is_dashed=not is_known,
        opacity=0.55,
    )
    beyond = [
        Mark(at=place(end), shape=shape(end), ink=cell.ink, kind="beyond", size=3.5)
        for end in (low, high)
        if is_known and abs(end) > limit
    ]
    mean = Mark(
        at=place(estimate.mean),
        shape=shape(estimate.mean),
        ink=cell.ink,
        kind="effect",
        size=5.5,
        is_hollow=cell.is_hollow,
        title=title,
    )
    return [bar, *beyond, mean]
