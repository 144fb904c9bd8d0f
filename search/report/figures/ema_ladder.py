"""Figure of the EMA ladder: each run measured with several weight averages at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.plan import Plan
from search.records.metrics import NLL, TOP1, Metric
from search.records.trials import Trial
from search.report.figures.axes import (
    TICK_SIZE,
    Box,
    Scale,
    axis_title,
    frame,
    padded,
    tick_texts,
    two_boxes,
)
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.verdict.design import EMA_FACTOR
from spaces.units import plain, to_effective

_INKS = {"none": "off", "best": "best", "reference": "reference"}
_WORDS = {"none": "no average", "best": "best", "reference": "reference"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """One average: its decay and the levels that share it; metrics are read from the first."""

    decay: float
    levels: tuple[str, ...]


def ladder_runs(trials: Sequence[Trial]) -> list[Trial]:
    """Select the full-length runs of the experiment, each of which has all averages."""
    return [
        trial
        for trial in trials
        if trial.spec.stage == "attribute" and trial.is_full_length and trial.spec.ema_levels
    ]


def has_ladder(trials: Sequence[Trial]) -> bool:
    """Whether the experiment has runs with at least two different averages."""
    runs = ladder_runs(trials)
    return bool(runs) and len(_steps(runs[0])) > 1


def ladder(plan: Plan, trials: Sequence[Trial], width: float, *, metric: Metric = TOP1) -> Drawing:
    """Draw a line per run over its averages, from the shortest window to the longest, and means."""
    runs = ladder_runs(trials)
    steps = _steps(runs[0])
    boxes = two_boxes(width, top=30.0, height=200.0, right_margin=10.0, below=54.0)
    items: list[Item] = []
    for shown, box in zip((metric, NLL), boxes, strict=True):
        items += _panel(plan, runs, steps, shown, box)
    return Drawing(width=width, height=boxes[-1].bottom + 54, items=tuple(items))


def _steps(run: Trial) -> list[_Step]:
    by_decay: dict[float, list[str]] = {}
    for level in ("none", "best", "reference"):
        if level in run.spec.ema_levels:
            by_decay.setdefault(run.spec.ema_levels[level], []).append(level)
    return [_Step(decay=decay, levels=tuple(by_decay[decay])) for decay in sorted(by_decay)]


def _panel(
    plan: Plan, runs: Sequence[Trial], steps: Sequence[_Step], metric: Metric, box: Box
) -> list[Item]:
    rows = [
        [
            metric.unit.scale * run.records[-1].metrics.get(_name(step, metric), math.nan)
            for step in steps
        ]
        for run in runs
    ]
    whole = [row for row in rows if all(math.isfinite(value) for value in row)]
    low, high = padded((v for row in whole for v in row), least=metric.unit.least_span)
    x = Scale(low=-0.5, high=len(steps) - 0.5, start=box.left, end=box.right)
    y = Scale(low=max(low, metric.unit.least), high=high, start=box.bottom, end=box.top)
    texts = tick_texts(y.ticks(5))
    items = frame(x, y, x_ticks={}, y_ticks=texts, x_label="", y_label=axis_title(metric.on("val")))
    for row in whole:
        points = tuple((x(float(i)), y(value)) for i, value in enumerate(row))
        items.append(Stroke(points=points, ink="run", width=0.8, opacity=0.4))
    for run, row in zip(runs, rows, strict=True):
        items += [
            Mark(
                at=(x(float(i)), y(value)),
                shape="circle",
                ink=_INKS[step.levels[-1]],
                kind="run",
                size=2.5,
                opacity=0.7,
                title=f"{run.spec.trial_id}, decay {step.decay:g}: {value:.4g}",
            )
            for i, (step, value) in enumerate(zip(steps, row, strict=True))
            if math.isfinite(value)
        ]
    for i, step in enumerate(steps):
        items += _step_labels(plan, step, x(float(i)), box.bottom)
        if whole:
            mean = sum(row[i] for row in whole) / len(whole)
            items += _mean(step, metric.unit.number(mean), (x(float(i)), y(mean)))
    return items


def _name(step: _Step, metric: Metric) -> str:
    return metric.on(f"val.{step.levels[0]}")


def _step_labels(plan: Plan, step: _Step, x: float, bottom: float) -> list[Item]:
    window = to_effective(EMA_FACTOR, step.decay, plan.task)
    share = f"{100 * window:.2g} % of the run" if window < 1 else f"{plain(window)} × the run"
    # Round the distance to 1, not the decay: 0.99996 must not become 1.
    decay = 1.0 - float(f"{1.0 - step.decay:.3g}")
    names = " = ".join(_WORDS[level] for level in step.levels)
    lines = (names, f"decay {decay:.7g}", share if step.decay else "raw weights")
    return [
        Text(
            at=(x, bottom + 16 + 14 * i),
            text=line,
            ink="muted" if i else "ink",
            size=TICK_SIZE,
            anchor="middle",
            is_bold=i == 0,
        )
        for i, line in enumerate(lines)
    ]


def _mean(step: _Step, text: str, at: tuple[float, float]) -> list[Item]:
    ink = _INKS[step.levels[-1]]
    return [
        Stroke(points=((at[0] - 14, at[1]), (at[0] + 14, at[1])), ink=ink, width=3.0),
        Mark(at=at, shape="circle", ink=ink, kind="mean", size=4.5, title=f"mean {text}"),
        Text(
            at=(at[0], at[1] - 10),
            text=text,
            ink="ink",
            size=12,
            anchor="middle",
            is_bold=True,
            has_halo=True,
        ),
    ]
