"""The report's table of the recipes that were confirmed on test images."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.plan.plan import Plan
from search.records.metrics import METRICS, metric_of
from search.report.figures.marks import WORDS
from search.report.render import Table
from search.stages.analysis import Analysis
from search.stages.experiment import confirm_roles
from search.verdict.answer.gains import ROLE_HEADS
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.readings import HOLDS_FOR, reading_sentences
from search.verdict.wording import (
    compared_by,
    confirmed_sentence,
    exported_sentence,
    metric_label,
    value_text,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmedRecipes:
    """Results of the confirmation on the test images.

    Attributes:
        gains: Sentence on the gain of the advised recipe.
        exported: Sentence on the exported recipe.
        readings: Sentences on other ways of using the advised recipe's models.
        num_images: Number of test images.
        means: Table of each recipe's means over seeds and of its strengths, with the classifiers on
            frozen features of a pretrained model beside them.
    """

    gains: str
    exported: str
    readings: tuple[str, ...]
    num_images: int
    means: Table


def confirmed_recipes(plan: Plan, analysis: Analysis) -> ConfirmedRecipes:
    """Build the table of the confirmed recipes and the sentences that go with it."""
    verdict = analysis.verdict
    said = reading_sentences(verdict.confirmed, METRICS[verdict.metric])
    shown = [role for role in WORDS if analysis.measured.get(role)]
    recipes = confirm_roles(plan, analysis.best, analysis.advice.recipe)
    frozen = {
        role: means
        for role in FROZEN_ROLES
        if verdict.confirmed and (means := getattr(verdict.confirmed, role))
    }
    columns = [*(analysis.measured[role] for role in shown), *frozen.values()]
    rows = [
        (metric_label(name), *(_measured(name, means) for means in columns))
        for name in compared_by(METRICS[verdict.metric])
    ]
    values = [plan.dial_values(recipes[role]) for role in shown]
    rows += [
        (f"`{name}`", *(value_text(name, held[name]) for held in values), *("" for _ in frozen))
        for name in plan.dial_names
    ]
    return ConfirmedRecipes(
        gains=confirmed_sentence(verdict.confirmed, METRICS[verdict.metric]),
        exported=exported_sentence(verdict.exported, verdict.exported_because),
        readings=(*said, HOLDS_FOR) if said else (),
        num_images=plan.data.num_test,
        means=Table(
            head=("mean", *(WORDS[role] for role in shown), *(ROLE_HEADS[role] for role in frozen)),
            rows=tuple(rows),
            numeric=frozenset(range(1, len(columns) + 1)),
        ),
    )


def _measured(metric: str, values: Mapping[str, float]) -> str:
    value = values.get(metric)
    return "" if value is None else metric_of(metric).unit.value(value)
