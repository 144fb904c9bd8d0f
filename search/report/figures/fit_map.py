"""Figure of the fit map: each full-length run's error on training and on validation images."""

import math
from collections.abc import Sequence

from search.plan.plan import Plan
from search.records.metrics import TOP1, Metric
from search.records.trials import Trial
from search.report.figures.axes import WIDE, Scale, frame, padded, tick_texts
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
from spaces.recipe import Recipe

_WIDE_SPREAD = 6.0
"""Ratio of the largest to the median validation error above which the axes are stretched at 0."""


def errors(trial: Trial, metric: Metric = TOP1) -> tuple[float, float] | None:
    """Return clean-train and validation error in percent, or None if the run has no final ones.

    An error is 1 minus the metric, or 1 minus top-1 if the metric is no share such as accuracy.
    """
    if not trial.is_full_length:
        return None
    metrics, share = trial.records[-1].metrics, _share(metric)
    names = (share.on("clean_train"), share.on("val"))
    clean, val = (share.unit.scale * (1.0 - metrics.get(name, math.nan)) for name in names)
    return (clean, val) if math.isfinite(clean) and math.isfinite(val) else None


def _share(metric: Metric) -> Metric:
    return metric if metric.is_share else TOP1


def fit_map(
    plan: Plan,
    trials: Sequence[Trial],
    best: Recipe | None,
    width: float,
    *,
    metric: Metric = TOP1,
) -> Drawing:
    """Draw validation over training error of all full-length runs, and the line of equal errors.

    Runs of a role are small marks, their mean is a large one. The mean is over the confirmation
    runs once there are any, as their seeds played no part in choosing the recipe.
    """
    names = roles(plan, best)
    points = [(trial, point) for trial in trials if (point := errors(trial, metric)) is not None]
    role_by_id = {trial.spec.trial_id: role_of(trial, plan, best) for trial, _ in points}
    searched = [
        trial
        for trial, _ in points
        if trial.spec.stage == "search" and role_by_id[trial.spec.trial_id] is None
    ]
    dotted = dots(searched, is_kept=lambda trial: False)
    hidden = {t.spec.trial_id for t in searched} - {t.spec.trial_id for t in dotted}
    name_of_search = "search" + number_of(dotted, searched)
    others = (
        (Mark(at=(0, 0), shape="circle", ink="run", kind="legend", is_hollow=True), name_of_search),
        (Mark(at=(0, 0), shape="circle", ink="run", kind="legend", size=2.5), "experiment"),
    )
    is_tested = {trial.spec.stage for trial, _ in points}
    entries = [
        *role_entries(names),
        *(entry for entry, stage in zip(others, ("search", "attribute"), strict=True)
          if stage in is_tested),
    ]  # fmt: skip
    top = legend_height(entries, width=width) + 30
    side = min(width - 44.0, 460.0)
    x, y = _scales([point for _, point in points], (36.0, 36.0 + side), (top + side * 0.78, top))
    items = legend(entries, width=width, top=0.0)
    share = _share(metric)
    error = "error" if share.counts_images else f"100 less {share.words}"
    items += frame(
        x,
        y,
        x_ticks=tick_texts(x.ticks(8)),
        y_ticks=tick_texts(y.ticks(8)),
        x_label=f"{error} on training images, no augmentation, %",
        y_label=f"{error} on validation images, %",
    )
    items += _diagonal(x, y)
    for trial, point in sorted(points, key=lambda pair: pair[0].spec.stage):
        if trial.spec.trial_id not in hidden:
            items.append(_run_mark(trial, point, role_by_id[trial.spec.trial_id], x, y))
    for role, name in names.items():
        mean = _mean([(t, p) for t, p in points if role_by_id[t.spec.trial_id] == role])
        if mean is not None:
            title = f"{name}: {mean[0]:.1f} % on training images, {mean[1]:.1f} % validation (mean)"
            at = (x(mean[0]), y(mean[1]))
            items.append(role_mark(role, at, kind="mean", size=7.0, title=title))
    if width >= WIDE:
        items += _how_to_read(36.0 + side + 24, top + 8)
    return Drawing(width=width, height=max(y.start, y.end) + 40, items=tuple(items))


def _scales(
    points: Sequence[tuple[float, float]], x_ends: tuple[float, float], y_ends: tuple[float, float]
) -> tuple[Scale, Scale]:
    both = sorted(value for point in points for value in point)
    vals = sorted(val for _, val in points)
    # A reference whose average is at chance would press all other runs into one corner.
    is_wide = bool(vals) and vals[-1] > _WIDE_SPREAD * max(vals[len(vals) // 2], 1.0)
    if is_wide:
        high = min(both[-1] * 1.2, 110.0)
        return (
            Scale(low=-0.2, high=high, start=x_ends[0], end=x_ends[1], stretch=1.0),
            Scale(low=0.6 * vals[0], high=high, start=y_ends[0], end=y_ends[1], stretch=1.0),
        )
    x_low, x_high = padded([clean for clean, _ in points], least=4.0)
    y_low, y_high = padded(vals, least=4.0)
    return (
        Scale(low=max(x_low, -1.0), high=x_high, start=x_ends[0], end=x_ends[1]),
        Scale(low=max(y_low, 0.0), high=y_high, start=y_ends[0], end=y_ends[1]),
    )


def _diagonal(x: Scale, y: Scale) -> list[Item]:
    """Draw the part of the line of equal errors that lies inside both axes."""
    low, high = max(x.low, y.low, 0.0), min(x.high, y.high)
    if low >= high:
        return []
    steps = [low + (high - low) * i / 40 for i in range(41)]
    points = tuple((x(value), y(value)) for value in steps)
    middle = points[len(points) // 2]
    return [
        Stroke(points=points, ink="muted", is_dashed=True),
        Text(at=(middle[0] + 10, middle[1] + 12), text="no gap", size=11, has_halo=True),
    ]


def _run_mark(
    trial: Trial, point: tuple[float, float], role: str | None, x: Scale, y: Scale
) -> Mark:
    at = (x(point[0]), y(point[1]))
    title = (
        f"{trial.spec.trial_id}: {point[0]:.1f} % on training images, {point[1]:.1f} % validation"
    )
    if role is not None:
        return role_mark(role, at, kind="run", size=3.5, title=title)
    is_cell = trial.spec.stage == "attribute"
    return Mark(
        at=at,
        shape="circle",
        ink="run",
        kind="run",
        size=2.5 if is_cell else 4.0,
        is_hollow=not is_cell,
        title=title,
    )


def _mean(points: Sequence[tuple[Trial, tuple[float, float]]]) -> tuple[float, float] | None:
    fresh = [point for trial, point in points if trial.spec.stage == "confirm"]
    counted = fresh or [point for _, point in points]
    if not counted:
        return None
    clean, val = (sum(point[i] for point in counted) / len(counted) for i in (0, 1))
    return clean, val


def _how_to_read(left: float, top: float) -> list[Item]:
    lines = (
        ("left", "fits the training images"),
        ("right", "does not: underfit"),
        ("low", "right on new images"),
        ("far above the line", "large gap: overfit"),
    )
    items: list[Item] = []
    for i, (head, body) in enumerate(lines):
        at = top + i * 40
        items.append(Text(at=(left, at), text=head, ink="ink", size=12, is_bold=True))
        items.append(Text(at=(left, at + 16), text=body))
    return items
