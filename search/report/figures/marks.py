"""Marks and names of recipes and dials, shared by all figures and tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from search.plan.plan import Plan
from search.records.metrics import metric_of
from search.records.trials import Trial
from search.report.figures.drawing import Item, Mark, Text
from search.verdict.schema import Dial, Estimate
from search.verdict.wording import value_text, with_interval
from spaces.recipe import Recipe

SHAPES = {
    "reference": "square",
    "advised": "circle",
    "best": "diamond",
    "scaled": "triangle",
    "off": "triangle_down",
}
MOST_DOTS = 400
WORDS = {
    "reference": "reference",
    "advised": "advised",
    "best": "best",
    "scaled": "size-scaled default",
    "off": "everything off",
}
TURN_SHAPES = {
    "down": "triangle_down",
    "up": "triangle",
    "leave": "square",
    "inconclusive": "circle",
}
TURN_WORDS = {
    "down": "turn down",
    "up": "turn up",
    "leave": "leave",
    "inconclusive": "not decided",
}


def roles(plan: Plan, best: Recipe | None, advised: Recipe | None = None) -> dict[str, str]:
    """Return the displayed names of the recipes, by role.

    Equal recipes appear once, under the first of their roles with all of their names.
    """
    recipes = {"reference": plan.reference}
    if best is not None:
        recipes["best"] = best
    recipes |= {role: recipe for role, recipe in plan.anchors.items() if role != "reference"}
    if advised is not None:
        recipes["advised"] = advised
    by_recipe: dict[Recipe, list[str]] = {}
    for role, recipe in recipes.items():
        by_recipe.setdefault(_seedless(recipe), []).append(role)
    return {names[0]: " = ".join(WORDS[name] for name in names) for names in by_recipe.values()}


def role_of(trial: Trial, plan: Plan, best: Recipe | None) -> str | None:
    """Return the role whose recipe a trial of the search or confirmation ran, or None."""
    if trial.spec.stage == "attribute":
        return None  # A cell may equal the reference but evaluates another weight average.
    recipes = {"reference": plan.reference, "best": best, **plan.anchors}
    asked = trial.spec.recipe
    for role, recipe in recipes.items():
        # Strengths first: nearly all recipes differ there, and a copy costs more than a look.
        if (
            recipe is not None
            and recipe.strengths == asked.strengths
            and _seedless(recipe) == _seedless(asked)
        ):
            return role
    return None


def dots(trials: Sequence[Trial], *, is_kept: Callable[[Trial], bool]) -> list[Trial]:
    """Select the trials to draw: at most `MOST_DOTS`, evenly spaced, and all for which `is_kept`.

    Thousands of dots are no clearer than hundreds, and make a page of many megabytes.
    """
    usual = [trial for trial in trials if not is_kept(trial)]
    every = max(1, math.ceil(len(usual) / MOST_DOTS))
    drawn = {trial.spec.trial_id for trial in usual[::every]}
    return [trial for trial in trials if is_kept(trial) or trial.spec.trial_id in drawn]


def number_of(drawn: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Return the legend's suffix that tells how many trials are drawn, empty if all are."""
    return f", {len(drawn):,} of {len(trials):,} drawn" if len(drawn) < len(trials) else ""


def role_mark(role: str, at: tuple[float, float], *, kind: str, size: float, title: str) -> Mark:
    """Make the mark of a role at a point."""
    return Mark(at=at, shape=SHAPES[role], ink=role, kind=kind, size=size, title=title)


def legend(entries: Sequence[tuple[Mark, str]], *, width: float, top: float) -> list[Item]:
    """Draw a legend: marks with their names, in as many rows as the width requires.

    Args:
        entries: Marks, whose positions are ignored, with their names.
        width: Available width in pixels.
        top: Upper edge; rows are `LEGEND_ROW` high.
    """
    items: list[Item] = []
    for (mark, name), (x, y) in zip(entries, _places(entries, width, top), strict=True):
        items.append(replace(mark, at=(x + 6, y), kind="legend"))
        items.append(Text(at=(x + 16, y + 4), text=name))
    return items


def legend_height(entries: Sequence[tuple[Mark, str]], *, width: float) -> float:
    """Compute the height of `legend` in pixels."""
    places = _places(entries, width, 0.0)
    return LEGEND_ROW * len({y for _, y in places})


LEGEND_ROW = 20.0


def role_entries(names: Mapping[str, str]) -> list[tuple[Mark, str]]:
    """Make the legend's entries for the result of `roles`."""
    return [
        (role_mark(role, (0.0, 0.0), kind="legend", size=5.0, title=""), name)
        for role, name in names.items()
    ]


def interval_text(metric: str, estimate: Estimate | None) -> str:
    """Format an estimate as ``+1.2 [+0.3, +2.1]`` in the metric's unit; empty without one."""
    return with_interval(metric_of(metric).unit, estimate).replace("-", "−")


def values_text(dial: Dial, tried: float) -> str:
    """Format the values of a dial: ``0.1 → 0.02`` if it is turned, else ``0.1, tried 0.02``."""
    reference = value_text(dial.strength, dial.reference)
    if not dial.effect:
        return reference
    if dial.turn in ("down", "up"):
        return f"{reference} → {value_text(dial.strength, dial.recommended)}"
    return f"{reference}, tried {value_text(dial.strength, tried)}"


def turn_mark(dial: Dial, at: tuple[float, float]) -> Mark:
    """Make the mark of a dial, a triangle that points in the direction of the turn."""
    return Mark(
        at=at,
        shape=TURN_SHAPES[dial.turn],
        ink=dial.turn,
        kind="turn",
        size=5.0,
        is_hollow=dial.turn == "inconclusive",
        title=TURN_WORDS[dial.turn],
    )


def _places(
    entries: Sequence[tuple[Mark, str]], width: float, top: float
) -> list[tuple[float, float]]:
    places: list[tuple[float, float]] = []
    x, y = 0.0, top + LEGEND_ROW / 2
    for _, name in entries:
        needed = 34 + Text(at=(0.0, 0.0), text=name).width
        if x > 0 and x + needed > width:
            x, y = 0.0, y + LEGEND_ROW
        places.append((x, y))
        x += needed
    return places


def _seedless(recipe: Recipe) -> Recipe:
    return replace(recipe, seed=0)
