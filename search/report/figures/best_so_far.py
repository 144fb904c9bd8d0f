"""Figure of the score of each trial of the search, with the best so far."""

import math
from collections.abc import Sequence

from search.plan.plan import Plan
from search.records.metrics import Metric
from search.records.trials import Trial
from search.report.figures.axes import WIDE, Scale, axis_title, frame, padded, tick_texts
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

Scored = tuple[Trial, float]


def scored_trials(trials: Sequence[Trial], metric: Metric) -> list[Scored]:
    """List the trials of the search with their last finite score, without reruns, by number."""
    found = [
        (trial, metric.unit.scale * value)
        for trial in trials
        if trial.spec.stage == "search"
        and trial.spec.rerun_of is None
        and trial.status != "diverged"
        and (value := trial.last(metric.on("val"))) is not None
        and math.isfinite(value)
    ]
    return sorted(found, key=lambda pair: pair[0].spec.number)


def best_so_far(plan: Plan, trials: Sequence[Trial], width: float, *, metric: Metric) -> Drawing:
    """Draw a mark per trial by number, and steps through the best full-length trial so far.

    Args:
        plan: The plan, whose baselines have marks of their own.
        trials: Trials of any stage; at least one of `scored_trials` ran to its end.
        width: Width of the drawing in pixels.
        metric: The metric of the search.
    """
    scored = scored_trials(trials, metric)
    full = [(trial, value) for trial, value in scored if trial.is_full_length]
    role_by_id = {trial.spec.trial_id: role_of(trial, plan, None) for trial, _ in full}
    drawn = dots([t for t, _ in scored], is_kept=lambda t: bool(role_by_id.get(t.spec.trial_id)))
    suffix = number_of(drawn, [trial for trial, _ in scored])
    seen = {role for role in role_by_id.values() if role}
    names = {role: name for role, name in roles(plan, None).items() if role in seen}
    entries = [
        (_dot((0.0, 0.0), is_full=True), f"full-length trial{suffix}"),
        (_dot((0.0, 0.0), is_full=False), "stopped early, at its last epoch"),
        *role_entries(names),
    ]
    top = legend_height(entries, width=width) + 30
    height = 220.0 if width >= WIDE else 190.0
    low, high = padded([value for _, value in full], least=metric.unit.least_span)
    if not metric.larger_is_better:  # Room for the label under the line.
        low -= 0.12 * (high - low)
    last = max(trial.spec.number for trial, _ in scored)
    x = Scale(low=-0.5, high=last + 0.5, start=36.0, end=width - 10.0)
    y = Scale(low=max(low, metric.unit.least), high=high, start=top + height, end=top)
    items = legend(entries, width=width, top=0.0)
    items += frame(
        x,
        y,
        x_ticks={v: text for v, text in tick_texts(x.ticks(8)).items() if v == int(v)},
        y_ticks=tick_texts(y.ticks(5)),
        x_label="number of the trial",
        y_label=axis_title(metric.on("val")),
    )
    items += _steps(full, metric, x, y)
    shown = {trial.spec.trial_id for trial in drawn}
    for trial, value in scored:
        if trial.spec.trial_id in shown:
            items.append(_mark(trial, value, role_by_id.get(trial.spec.trial_id), metric, x, y))
    return Drawing(width=width, height=top + height + 40, items=tuple(items))


def _steps(full: Sequence[Scored], metric: Metric, x: Scale, y: Scale) -> list[Item]:
    """Draw the best so far as a line of steps, with its last value at the end."""
    best = full[0][1]
    points = [(x(float(full[0][0].spec.number)), y(best))]
    for trial, value in full:
        if metric.sign * value > metric.sign * best:
            column = x(float(trial.spec.number))
            points += [(column, y(best)), (column, y(value))]
            best = value
    points.append((x.end, y(best)))
    text = f"best so far {metric.unit.number(best)}"
    # Above the line where more is better, as no trial lies on its better side.
    below = 4.0 + 11.0 if not metric.larger_is_better else -6.0
    at = (x.end, y(best) + below)
    return [
        Stroke(points=tuple(points), ink="best", width=2.0),
        Text(at=at, text=text, ink="best", anchor="end", is_bold=True, has_halo=True),
    ]


def _mark(trial: Trial, value: float, role: str | None, metric: Metric, x: Scale, y: Scale) -> Mark:
    # What was stopped far off the axis lies on its edge: it is the full-length ones that compare.
    at = (x(float(trial.spec.number)), y.clamped(value))
    how = "" if trial.is_full_length else f", {trial.status} at epoch {trial.epoch}"
    title = f"{trial.spec.trial_id}: {metric.unit.number(value)}{how}"
    if role:
        return role_mark(role, at, kind="run", size=5.0, title=title)
    return _dot(at, is_full=trial.is_full_length, title=title)


def _dot(at: tuple[float, float], *, is_full: bool, title: str = "") -> Mark:
    return Mark(
        at=at,
        shape="circle",
        ink="run",
        kind="run" if is_full else "stopped",
        size=4.0 if is_full else 3.0,
        is_hollow=not is_full,
        title=title,
    )
