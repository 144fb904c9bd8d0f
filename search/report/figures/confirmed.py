"""Figure of the confirmation on test images: every run, the means, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from search.plan.plan import Plan
from search.records.metrics import TOP1, Metric, Unit
from search.records.trials import Trial
from search.report.figures.axes import (
    TICK_SIZE,
    WIDE,
    Scale,
    axis_title,
    padded,
    round_ticks,
    tick_texts,
)
from search.report.figures.drawing import Drawing, Item, Mark, Stroke, Text
from search.report.figures.marks import interval_text, role_mark, roles
from search.stages.experiment import confirm_roles
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.schema import Confirmed, Estimate
from search.verdict.wording import ROLE_WORDS
from spaces.recipe import Recipe

_ROW = 34.0
_HEAD = 24.0
_GAIN_ROW = 40.0

Scores = Mapping[str, Mapping[int, float]]


def scores_on_test(
    trials: Sequence[Trial], recipes: Mapping[str, Recipe], metric: Metric = TOP1
) -> dict[str, dict[int, float]]:
    """Collect the metric on test images by role and by seed, in the unit it is displayed in.

    Args:
        trials: Trials of any stage.
        recipes: Recipes by role; of equal ones the first has the runs. Runs of other recipes, from
            before a top-up, are left out.
        metric: The metric.
    """
    role_of = {replace(recipe, seed=0): role for role, recipe in reversed(list(recipes.items()))}
    scores: dict[str, dict[int, float]] = {}
    for trial in trials:
        role = role_of.get(replace(trial.spec.recipe, seed=0))
        if role is not None and trial.spec.stage == "confirm" and trial.is_full_length:
            reported = trial.records[-1].metrics.get(metric.on("test"), math.nan)
            value = metric.unit.scale * reported
            if math.isfinite(value):
                scores.setdefault(role, {})[trial.spec.recipe.seed] = value
    return scores


def confirmation(
    plan: Plan,
    trials: Sequence[Trial],
    best: Recipe,
    advised: Recipe,
    confirmed: Confirmed,
    width: float,
    *,
    metric: Metric = TOP1,
) -> Drawing:
    """Draw an estimation plot (Gardner and Altman 1986): runs above, differences below."""
    names = roles(plan, best, advised)
    if "best" not in names:  # It is the reference itself, under another name.
        names = {"best" if role == "reference" else role: name for role, name in names.items()}
    unit = metric.unit
    scores = scores_on_test(trials, confirm_roles(plan, best, advised), metric)
    shown = {role: name for role, name in names.items() if scores.get(role)}
    left = 168.0 if width >= WIDE else 8.0
    row = _ROW if width >= WIDE else _ROW + 14
    low, high = padded(
        (v for by_seed in scores.values() for v in by_seed.values()), least=unit.least_span
    )
    most = unit.most + unit.least_span / 2
    x = Scale(low=low, high=min(high, most), start=left, end=width - 60)
    items = _axis(x, axis_title(metric.on("test")), "", _HEAD + len(shown) * row, top=_HEAD)
    y_of = {role: _HEAD + row * (i + 1) - 17 for i, role in enumerate(shown)}
    items += _pairs(scores, list(y_of.items()), x)
    for role, name in shown.items():
        items += _role_row(role, name, scores[role], x, y_of[role], unit, is_wide=width >= WIDE)
    top = _HEAD + len(shown) * row + 58
    gains = {
        role: of[metric.on("test")]
        for role, of in confirmed.advised_minus.items()
        # Frozen features are often so far behind that no other difference would be seen.
        if metric.on("test") in of and role not in FROZEN_ROLES
    }
    items += _differences(gains, metric, left, width, top)
    height = top + len(gains) * _GAIN_ROW + 38
    return Drawing(width=width, height=height, items=tuple(items))


def _role_row(
    role: str,
    name: str,
    by_seed: Mapping[int, float],
    x: Scale,
    y: float,
    unit: Unit,
    *,
    is_wide: bool,
) -> list[Item]:
    mean = sum(by_seed.values()) / len(by_seed)
    label = (8.0, y + 4) if is_wide else (x.start, y - 15)
    items: list[Item] = [Text(at=label, text=name, ink="ink", size=12, is_bold=True)]
    for seed, value in by_seed.items():
        title = f"{name}, seed {seed}: {unit.number(value)}{unit.mark}"
        items.append(role_mark(role, (x(value), y), kind="run", size=4.0, title=title))
    line = ((x(mean), y - 10), (x(mean), y + 10))
    items.append(Stroke(points=line, ink=role, width=2.5))
    at = (x.end + 56, y + 4)
    text = unit.number(mean) + unit.mark
    items.append(Text(at=at, text=text, ink="ink", size=12, anchor="end", is_bold=True))
    return items


def _pairs(scores: Scores, rows: Sequence[tuple[str, float]], x: Scale) -> list[Item]:
    """Draw faint lines between the runs of one seed in neighbouring rows."""
    return [
        Stroke(
            points=((x(scores[upper][seed]), above), (x(scores[lower][seed]), below)), ink="grid"
        )
        for (upper, above), (lower, below) in pairwise(rows)
        for seed in sorted(set(scores[upper]) & set(scores[lower]))
    ]


def _differences(
    gains: Mapping[str, Estimate], metric: Metric, left: float, width: float, top: float
) -> list[Item]:
    """Draw a row per recipe that needs no search: the advised recipe minus it."""
    if not gains:
        return []
    unit = metric.unit
    scaled = {
        role: tuple(unit.scale * value for value in (gain.mean, *gain.inside(unit).ci95))
        for role, gain in gains.items()
    }
    shown = [value for values in scaled.values() for value in values if math.isfinite(value)]
    ends = padded([0.0, *shown], least=unit.least_span, share=0.1)
    x = Scale(low=ends[0], high=ends[1], start=left, end=width - 60)
    bottom = top + len(gains) * _GAIN_ROW
    items = _axis(x, "", unit.word, bottom, top=top)
    items.append(Stroke(points=((x(0.0), top), (x(0.0), bottom)), ink="muted", width=1.4))
    for row, (role, (mean, low, high)) in enumerate(scaled.items()):
        y = top + (row + 1) * _GAIN_ROW - 10
        # The axis below names the unit.
        words = f"over {ROLE_WORDS[role].removeprefix('the ')}"
        said = f"{words}: {interval_text(metric.name, gains[role])}"
        items.append(Text(at=(left, y - 14), text=said, ink="ink", size=12, has_halo=True))
        is_known = math.isfinite(low) and math.isfinite(high)
        bar = ((x.clamped(low), y), (x.clamped(high), y))
        items.append(
            Stroke(
                points=bar,
                ink="advised",
                width=4.0 if is_known else 1.2,
                is_dashed=not is_known,
                opacity=0.55,
            )
        )
        at = (x(mean), y)
        items.append(
            Mark(at=at, shape="circle", ink="advised", kind="effect", size=5.5, title=said)
        )
    return items


def _axis(x: Scale, title: str, unit: str, bottom: float, *, top: float) -> list[Item]:
    """Draw ticks with a title above them, or, for differences, with their unit beside them."""
    items: list[Item] = []
    for value, text in tick_texts(round_ticks(x.low, x.high, 6), signed=bool(unit)).items():
        items.append(Stroke(points=((x(value), top), (x(value), bottom + 4)), ink="grid"))
        at = (x(value), bottom + 16)
        items.append(Text(at=at, text=text, size=TICK_SIZE, anchor="middle"))
    items.append(Stroke(points=((x.start, bottom), (x.end, bottom)), ink="muted"))
    at = (x.end + 56, bottom + 16)
    # The label takes the free corner beside the ticks.
    items.append(Text(at=(x.start, top - 8), text=title, size=TICK_SIZE))
    items.append(Text(at=at, text=unit, size=TICK_SIZE, anchor="end"))
    return items
