"""The dials as a tornado: what each strength changes, with intervals, in accuracy and log-loss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.report.figures.axes import TICK_SIZE, WIDE, Scale, tick_texts
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.report.figures.turns import TURN_WORDS, interval_text, turn_mark, values_text
from search.verdict.judgement import LOG_LOSS_MARGIN
from search.verdict.schema import Dial, Estimate
from search.verdict.sequential import PRACTICAL_MARGIN

_OUTLIER = 4.0
"""The largest effect runs off the axis if it is this many times the next: the rest must show."""
_ROW = 46.0
_HEAD = 44.0
_FOOT = 28.0
_GAP = 26.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measure:
    """How one metric is shown: as ``scale`` times its value, better to the right."""

    metric: str
    title: str
    scale: float
    better: int
    margin: float


_MEASURES = (
    _Measure(
        metric="val/top1",
        title="validation top-1, points",
        scale=100.0,
        better=1,
        margin=100.0 * PRACTICAL_MARGIN,
    ),
    _Measure(
        metric="val/nll",
        title="validation log-loss, nats",
        scale=1.0,
        better=-1,
        margin=LOG_LOSS_MARGIN,
    ),
)


def tornado(dials: Sequence[Dial], tried: Mapping[str, float], width: float) -> Drawing:
    """One row per strength and one panel per metric; to the right of the line is better.

    Args:
        dials: All of them.
        tried: The best's raw values, which the effects are about.
        width: In pixels; below `WIDE` the panels stand above each other.
    """
    if width < WIDE:
        height = _HEAD + _FOOT + len(dials) * _ROW
        items: list[Item] = []
        for i, measure in enumerate(_MEASURES):
            top = i * (height + _GAP)
            items += _panel(measure, dials, (10.0, width - 10.0), top)
            for row, dial in enumerate(dials):
                y = top + _HEAD + row * _ROW + 14
                items += _short_label(dial, tried, y)
                value = interval_text(measure.metric, dial.effect.get(measure.metric))
                items.append(Text(at=(width - 6, y + 4), text=value, size=11, anchor="end"))
        return Drawing(width=width, height=2 * height + _GAP, items=tuple(items))
    first = 212.0
    panel_width = (width - first - _GAP - 10.0) / 2
    items = []
    for row, dial in enumerate(dials):
        items += _label(dial, tried, _HEAD + row * _ROW + _ROW / 2)
    for i, measure in enumerate(_MEASURES):
        left = first + i * (panel_width + _GAP)
        items += _panel(measure, dials, (left, left + panel_width), 0.0)
        for row, dial in enumerate(dials):
            value = interval_text(measure.metric, dial.effect.get(measure.metric))
            at = (left + panel_width, _HEAD + row * _ROW + 15)
            items.append(Text(at=at, text=value, size=10.5, anchor="end"))
    return Drawing(width=width, height=_HEAD + _FOOT + len(dials) * _ROW, items=tuple(items))


def axis_limit(extents: Sequence[float], least: float) -> float:
    """Half-width of an axis that shows all extents, save one that is far beyond all others."""
    finite = sorted((extent for extent in extents if math.isfinite(extent)), reverse=True)
    largest, following = (*finite, least, least)[:2]
    is_alone = largest > _OUTLIER * max(following, least)
    return 1.12 * max(following if is_alone else largest, least)


def _label(dial: Dial, tried: Mapping[str, float], y: float) -> list[Item]:
    words = f"{TURN_WORDS[dial.turn]} · {values_text(dial, tried[dial.strength])}"
    return [
        turn_mark(dial, (8.0, y - 4)),
        Text(at=(20.0, y), text=dial.strength, ink="ink", size=13, is_bold=True),
        Text(at=(20.0, y + 16), text=words),
    ]


def _short_label(dial: Dial, tried: Mapping[str, float], y: float) -> list[Item]:
    name = Text(at=(18.0, y + 4), text=dial.strength, ink="ink", size=12, is_bold=True)
    return [turn_mark(dial, (8.0, y)), name]


def _panel(
    measure: _Measure, dials: Sequence[Dial], sides: tuple[float, float], top: float
) -> list[Item]:
    effects = [dial.effect.get(measure.metric) for dial in dials]
    extents = [
        max(abs(measure.scale * value) for value in (effect.mean, *effect.ci95))
        for effect in effects
        if effect is not None and math.isfinite(effect.mean)
    ]
    limit = axis_limit(extents, 2 * measure.margin)
    ends = (-limit, limit) if measure.better > 0 else (limit, -limit)
    x = Scale(low=ends[0], high=ends[1], start=sides[0], end=sides[1])
    items = _frame(measure, x, limit, top, len(dials))
    for row, (dial, effect) in enumerate(zip(dials, effects, strict=True)):
        y = top + _HEAD + row * _ROW + 31
        if effect is None or not math.isfinite(effect.mean):
            words = "cannot be told from these runs" if dial.effect else "not varied"
            items.append(Text(at=(x(0.0) + 8, y + 4), text=words, size=11, has_halo=True))
        else:
            items += _bar(dial, measure, effect, x, limit, y)
    return items


def _frame(measure: _Measure, x: Scale, limit: float, top: float, num_rows: int) -> list[Item]:
    weak, strong = sorted((x(-measure.margin), x(measure.margin)))
    head, bottom = top + _HEAD, top + _HEAD + num_rows * _ROW
    ticks = tick_texts(Scale(low=-limit, high=limit, start=0.0, end=1.0).ticks(5), signed=True)
    items: list[Item] = [
        Text(at=(x.start, top + 13), text=measure.title, ink="ink", size=12, is_bold=True),
        Text(at=(x.start, head - 8), text="← worse", size=TICK_SIZE),
        Text(at=(x.end, head - 8), text="better →", size=TICK_SIZE, anchor="end"),
    ]
    for row in range(num_rows):
        # Each row has a strip for its words, which no line crosses, and under it one for its bar.
        upper, lower = head + row * _ROW + 20, head + (row + 1) * _ROW - 4
        zone = ((weak, upper), (strong, upper), (strong, lower), (weak, lower))
        items.append(Stroke(points=zone, ink="band", is_filled=True))
        items += [
            Stroke(points=((x(value), upper), (x(value), lower)), ink="grid") for value in ticks
        ]
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
    dial: Dial, measure: _Measure, effect: Estimate, x: Scale, limit: float, y: float
) -> list[Item]:
    """An interval and its mean; what lies beyond the axis is an arrow on its edge."""
    mean, low, high = (measure.scale * value for value in (effect.mean, *effect.ci95))
    is_known = math.isfinite(low) and math.isfinite(high)
    inside = [min(max(value, -limit), limit) for value in (low, high)]
    items: list[Item] = [
        Stroke(
            points=tuple((x(value), y) for value in inside),
            ink=dial.turn,
            width=4.0 if is_known else 1.2,
            is_dashed=not is_known,
            opacity=0.55,
        )
    ]
    items += [
        _edge_mark(dial, x, end, y, "beyond", 3.5)
        for end in (low, high)
        if is_known and abs(end) > limit
    ]
    title = f"{dial.strength}: {interval_text(measure.metric, effect)}"
    if abs(mean) > limit:
        items.append(_edge_mark(dial, x, mean, y, "effect", 5.5, title))
        return items
    return [
        *items,
        Mark(
            at=(x(mean), y),
            shape="circle",
            ink=dial.turn,
            kind="effect",
            size=5.5,
            is_hollow=dial.turn == "inconclusive",
            title=title,
        ),
    ]


def _edge_mark(
    dial: Dial, x: Scale, value: float, y: float, kind: str, size: float, title: str = ""
) -> Mark:
    low, high = min(x.low, x.high), max(x.low, x.high)
    at = x(min(max(value, low), high))
    shape = "arrow_right" if at > (x.start + x.end) / 2 else "arrow_left"
    return Mark(at=(at, y), shape=shape, ink=dial.turn, kind=kind, size=size, title=title)
