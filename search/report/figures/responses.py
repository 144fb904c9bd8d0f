"""Figure of the response curves: the metric over each strength in the search's trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.records.metrics import TOP1, Metric
from search.records.trials import Trial
from search.report.figures.axes import TICK_SIZE, WIDE, Box, Scale, padded, tick_texts
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.report.figures.marks import (
    dots,
    legend,
    legend_height,
    number_of,
    role_entries,
    role_mark,
    role_of,
    roles,
)
from search.report.figures.response_model import (
    Response,
    least_trials,
    responses,
    usable_trials,
)
from search.stages.importances import importances
from search.verdict.wording import raw as typed
from search.verdict.wording import short_raw
from spaces.axes import FixedAxis
from spaces.recipe import Recipe
from spaces.strengths.registry import strength
from spaces.units import limits, to_effective, to_raw

_HEIGHT = 118.0
_HEAD = 30.0
_BELOW = 50.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchEvidence:
    """Data of the response curves, see `search.report.figures.response_model`.

    Attributes:
        metric: The metric on the vertical axis.
        trials: Full-length trials inside the space.
        curves: Fitted curve by searched axis.
        shares: Importance by searched axis, largest first.
    """

    metric: Metric
    trials: Sequence[Trial]
    curves: Mapping[str, Response]
    shares: Mapping[str, float]

    def value(self, trial: Trial) -> float:
        """Return a trial's final validation value, in the unit it is displayed in."""
        return self.metric.unit.scale * trial.records[-1].metrics[self.metric.on("val")]


def search_evidence(
    plan: Plan, trials: Sequence[Trial], metric: Metric = TOP1
) -> SearchEvidence | None:
    """Fit the curves of a search, or return None if it has too few trials or no searched axis."""
    names = plan.space.free_names
    reported = metric.on("val")
    used = usable_trials(trials, names, reported)
    if len(used) < least_trials(names) or not names:
        return None
    return SearchEvidence(
        metric=metric,
        trials=used,
        curves=responses(used, names, reported),
        shares=importances(
            [{name: trial.spec.positions[name] for name in names} for trial in used],
            [trial.records[-1].metrics[reported] for trial in used],
        ),
    )


def response_curves(
    plan: Plan, evidence: SearchEvidence, best: Recipe | None, width: float
) -> Drawing:
    """Draw a panel per searched axis, and one for the importances."""
    names, used, curves = plan.space.free_names, evidence.trials, evidence.curves
    unit = evidence.metric.unit
    measured = [evidence.value(trial) for trial in used]
    drawn = [unit.scale * value for curve in curves.values() for value in curve.mean]
    low, high = padded([*measured, *drawn], least=unit.least_span)
    shown = {
        role: word for role, word in roles(plan, best).items() if role in ("reference", "best")
    }
    dotted = dots(used, is_kept=lambda trial: role_of(trial, plan, best) in shown)
    name_of_dots = "trial" + number_of(dotted, used)
    entries = [
        (Mark(at=(0, 0), shape="circle", ink="run", kind="legend", is_hollow=True), name_of_dots),
        *role_entries(shown),
    ]
    items = legend(entries, width=width, top=0.0)
    boxes = _boxes(len(names) + 1, width, legend_height(entries, width=width) + 8)
    for name, box in zip(names, boxes[:-1], strict=True):
        most = unit.most + unit.least_span / 2
        y = Scale(low=low, high=min(high, most), start=box.bottom, end=box.top)
        ends = _ends(used, name)
        items += _panel(plan, name, evidence, dotted, ends, best, box, y)
    items += _importances(evidence.shares, boxes[-1])
    return Drawing(width=width, height=boxes[-1].bottom + _BELOW, items=tuple(items))


def _boxes(number: int, width: float, top: float) -> list[Box]:
    columns = 3 if width >= WIDE else 2
    step = width / columns
    return [
        Box(
            left=column * step + 28,
            top=top + row * (_HEIGHT + _HEAD + _BELOW) + _HEAD,
            right=(column + 1) * step - 10,
            bottom=top + row * (_HEIGHT + _HEAD + _BELOW) + _HEAD + _HEIGHT,
        )
        for row, column in (divmod(i, columns) for i in range(number))
    ]


def _panel(
    plan: Plan,
    name: str,
    evidence: SearchEvidence,
    dotted: Sequence[Trial],
    ends: tuple[float, float],
    best: Recipe | None,
    box: Box,
    y: Scale,
) -> list[Item]:
    x = Scale(low=0.0, high=1.0, start=box.left + 6, end=box.right - 6)
    items: list[Item] = [
        Text(at=(box.left - 24, box.top - 12), text=name, ink="ink", size=12, is_bold=True)
    ]
    for value, text in tick_texts(y.ticks(4)).items():
        items.append(Stroke(points=((box.left, y(value)), (box.right, y(value))), ink="grid"))
        at = (box.left - 5, y(value) + 4)
        items.append(Text(at=at, text=text, size=10, anchor="end"))
    items.append(Stroke(points=((box.left, box.bottom), (box.right, box.bottom)), ink="muted"))
    unit = evidence.metric.unit
    items += _curve(evidence.curves[name], unit.scale, ends, x, y)
    for trial in dotted:
        value = evidence.value(trial)
        raw = plan.space.raw_of(trial.spec.recipe)[name]
        # A part of the axis is off, and what was drawn there is off whatever its position.
        position = 0.0 if raw == strength(name).off else trial.spec.positions[name]
        at = (x(position), y(value))
        title = f"{trial.spec.trial_id}: {typed(raw)}"
        title += f", {unit.number(value)}{unit.mark}"
        role = role_of(trial, plan, best)
        if role in ("reference", "best"):
            items.append(role_mark(role, at, kind="run", size=4.5, title=title))
        else:
            items.append(
                Mark(
                    at=at,
                    shape="circle",
                    ink="run",
                    kind="run",
                    size=3.2,
                    is_hollow=True,
                    title=title,
                )
            )
    items += _x_ticks(plan, name, x, box.bottom)
    return [*items, *_outside(plan, name, x, box)]


def _ends(used: Sequence[Trial], name: str) -> tuple[float, float]:
    measured = [trial.spec.positions[name] for trial in used]
    return min(measured), max(measured)


def _curve(
    curve: Response, scale: float, ends: tuple[float, float], x: Scale, y: Scale
) -> list[Item]:
    """Draw line and band between the outermost trials, as beyond them there are no data."""

    def line(values: Sequence[float]) -> list[tuple[float, float]]:
        return [
            (x(place), min(max(y(scale * value), y.end), y.start))
            for place, value in zip(curve.positions, values, strict=True)
            if ends[0] <= place <= ends[1]
        ]

    band = (*line(curve.low), *reversed(line(curve.high)))
    return [
        Stroke(points=tuple(band), ink="band", is_filled=True),
        Stroke(points=tuple(line(curve.mean)), ink="ink", width=1.6),
    ]


def _x_ticks(plan: Plan, name: str, x: Scale, bottom: float) -> list[Item]:
    """Label both ends and the middle of the axis with raw values, and effective ones under them."""
    axis = plan.space.axes[name]
    low, high = limits(name, plan.task)
    items: list[Item] = []
    for position, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        effective = axis.decode(position)
        at = {"start": x.start - 6, "middle": x(0.5), "end": x.end + 6}[anchor]
        written = short_raw(name, to_raw(name, min(max(effective, low), high), plan.task))
        tick = ((x(position), bottom), (x(position), bottom + 4))
        items.append(Stroke(points=tick, ink="muted"))
        items.append(Text(at=(at, bottom + 16), text=written, ink="ink", size=10.5, anchor=anchor))
        items.append(Text(at=(at, bottom + 29), text=f"{effective:.2g}", size=9.5, anchor=anchor))
    return items


def _outside(plan: Plan, name: str, x: Scale, box: Box) -> list[Item]:
    """Draw an arrow at the end of the axis if the reference lies beyond it."""
    raw, axis = plan.space.raw_of(plan.reference)[name], plan.space.axes[name]
    assert not isinstance(axis, FixedAxis)
    if axis.low <= to_effective(name, raw, plan.task) <= axis.high:
        return []  # Between off and the weakest value that was searched, perhaps.
    if plan.space.contains(name, raw):
        return []
    position = plan.space.encode(plan.space.raw_of(plan.reference), clamped=True)[name]
    mark = Mark(
        at=(x(position), box.bottom - 6),
        shape="arrow_right" if position > 0.5 else "arrow_left",
        ink="reference",
        kind="outside",
        size=4.5,
        title=f"the reference, {typed(raw)}, lies outside of what was searched",
    )
    return [mark]


def _importances(shares: Mapping[str, float], box: Box) -> list[Item]:
    items: list[Item] = [
        Text(at=(box.left - 24, box.top - 12), text="importance", ink="ink", size=12, is_bold=True)
    ]
    if not shares:
        at = (box.left - 24, box.top + 12)
        return [*items, Text(at=at, text="all trials score the same", size=11)]
    left, right = box.left - 24, box.right - 34
    step = (box.bottom - box.top) / len(shares)
    for i, (name, share) in enumerate(shares.items()):
        y = box.top + step * i
        end = left + max(share, 0.004) * (right - left)
        bar = ((left, y + 14), (end, y + 14), (end, y + 19), (left, y + 19))
        items.append(Text(at=(left, y + 10), text=name, size=10.5))
        items.append(Stroke(points=bar, ink="run", is_filled=True))
        at = (box.right, y + 19)
        items.append(Text(at=at, text=f"{share:.0%}", size=TICK_SIZE, anchor="end"))
    return items
