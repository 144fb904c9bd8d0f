"""Figure of the learning curves of the anchors and the best, for shipped and raw weights."""

import math
from collections.abc import Mapping, Sequence

from search.plan.plan import Plan
from search.records.metrics import NLL, TOP1, Metric
from search.records.trials import Trial
from search.report.figures.axes import (
    WIDE,
    Box,
    Scale,
    axis_title,
    frame,
    padded,
    spread,
    tick_texts,
    two_boxes,
)
from search.report.figures.drawing import Drawing, Item, Stroke, Text
from search.report.figures.marks import (
    legend,
    legend_height,
    role_entries,
    role_mark,
    role_of,
    roles,
)
from spaces.recipe import Recipe

Curve = tuple[tuple[int, float], ...]


def curve_trials(
    plan: Plan, trials: Sequence[Trial], best: Recipe | None, metric: Metric = TOP1
) -> dict[str, Trial]:
    """Select for each role the first run of the search that was evaluated at two epochs or more."""
    found: dict[str, Trial] = {}
    for trial in trials:
        role = role_of(trial, plan, best)
        if trial.spec.stage == "search" and role and len(_curve(trial, "val", metric)) > 1:
            found.setdefault(role, trial)
    return {role: found[role] for role in roles(plan, best) if role in found}


def learning_curves(
    plan: Plan,
    trials: Sequence[Trial],
    best: Recipe | None,
    width: float,
    *,
    metric: Metric = TOP1,
) -> Drawing:
    """Draw a curve per role, and a dashed one for the raw weights where an average ships."""
    chosen = curve_trials(plan, trials, best, metric)
    names = {role: roles(plan, best)[role] for role in chosen}
    entries = role_entries(names)
    items = legend(entries, width=width, top=0.0)
    boxes = two_boxes(
        width,
        top=legend_height(entries, width=width) + 30,
        height=220.0 if width >= WIDE else 190.0,
        right_margin=48.0,
        below=40.0,
    )
    for shown, box in zip((metric, NLL), boxes, strict=True):
        items += _panel(chosen, shown, box)
    return Drawing(width=width, height=boxes[-1].bottom + 40, items=tuple(items))


def _panel(chosen: Mapping[str, Trial], metric: Metric, box: Box) -> list[Item]:
    shipped = {role: _curve(trial, "val", metric) for role, trial in chosen.items()}
    raw = {
        role: _curve(trial, "val_raw", metric)
        for role, trial in chosen.items()
        if trial.spec.recipe.strengths.ema_decay > 0
    }
    values = [value for curve in (*shipped.values(), *raw.values()) for _, value in curve]
    epochs = max(trial.spec.recipe.epochs for trial in chosen.values())
    low, high = padded(values, least=metric.unit.least_span)
    x = Scale(low=0.0, high=float(epochs), start=box.left, end=box.right)
    y = Scale(low=max(low, metric.unit.least), high=high, start=box.bottom, end=box.top)
    items = frame(
        x,
        y,
        x_ticks={v: text for v, text in tick_texts(x.ticks(6)).items() if v == int(v)},
        y_ticks=tick_texts(y.ticks(5)),
        x_label="epoch",
        y_label=axis_title(metric.on("val")),
    )
    for role, curve in raw.items():
        items.append(_line(role, curve, x, y, is_dashed=True))
    for role, curve in shipped.items():
        items.append(_line(role, curve, x, y, is_dashed=False))
        for epoch, value in curve:
            at = (x(float(epoch)), y(value))
            words = f"{role}, epoch {epoch}: {value:.4g}"
            items.append(role_mark(role, at, kind="evaluation", size=3.0, title=words))
    return items + _end_labels({r: c for r, c in shipped.items() if c}, y, metric, box)


def _line(role: str, curve: Curve, x: Scale, y: Scale, *, is_dashed: bool) -> Stroke:
    points = tuple((x(float(epoch)), y(value)) for epoch, value in curve)
    return Stroke(points=points, ink=role, width=1.2 if is_dashed else 2.0, is_dashed=is_dashed)


def _end_labels(shipped: Mapping[str, Curve], y: Scale, metric: Metric, box: Box) -> list[Item]:
    """Write the last value of each curve beside its end."""
    wanted = [y(curve[-1][1]) for curve in shipped.values()]
    places = spread(wanted, gap=13.0, low=box.top, high=box.bottom)
    return [
        Text(
            at=(box.right + 8, place + 4),
            text=metric.unit.number(curve[-1][1]),
            ink=role,
            is_bold=True,
        )
        for (role, curve), place in zip(shipped.items(), places, strict=True)
    ]


def _curve(trial: Trial, weights: str, metric: Metric) -> Curve:
    name = metric.on(weights)
    return tuple(
        (record.epoch, metric.unit.scale * record.metrics[name])
        for record in trial.records
        if math.isfinite(record.metrics.get(name, math.nan))
    )
