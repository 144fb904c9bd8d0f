"""The report's table of the recipes that were confirmed on test images."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.plan.plan import Plan
from search.records.metrics import METRICS, metric_of
from search.report.figures.roles import WORDS
from search.report.render import Table
from search.stages.analysis import Analysis
from search.verdict.wording import (
    change_with_interval,
    compared_by,
    listed,
    metric_label,
    metric_words,
    raw,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmedRecipes:
    """What fresh seeds showed on the test images.

    Attributes:
        gains: Best minus reference in words, by metric.
        exported: Which recipe is exported.
        num_images: Number of test images.
        means: Means over the seeds and strengths of each recipe.
    """

    gains: str
    exported: str
    num_images: int
    means: Table


def confirmed_recipes(plan: Plan, analysis: Analysis) -> ConfirmedRecipes:
    """Means over fresh seeds of all recipes that were confirmed, and which one is exported."""
    verdict = analysis.verdict
    shown = [role for role in WORDS if role in analysis.measured]
    recipes = {"reference": plan.reference, **plan.anchors, "best": analysis.best}
    rows = [
        (metric_label(name), *(_measured(name, analysis.measured[role]) for role in shown))
        for name in compared_by(METRICS[verdict.metric])
    ]
    values = [plan.dial_values(recipes[role]) for role in shown]
    rows += [(f"`{name}`", *(raw(held[name]) for held in values)) for name in plan.dial_names]
    gains = verdict.confirmed.best_minus_reference if verdict.confirmed else {}
    exported = {"best": "the best recipe", "scaled": "the size-scaled default"}
    return ConfirmedRecipes(
        gains=listed(
            [
                f"{change_with_interval(metric, gain)} of {metric_words(metric)}"
                for metric, gain in gains.items()
            ]
        ),
        exported=exported.get(verdict.exported, "the reference"),
        num_images=plan.data.num_test,
        means=Table(
            head=("mean", *(WORDS[role] for role in shown)),
            rows=tuple(rows),
            numeric=frozenset(range(1, len(shown) + 1)),
        ),
    )


def _measured(metric: str, values: Mapping[str, float]) -> str:
    value = values.get(metric)
    return "" if value is None else metric_of(metric).unit.value(value)
