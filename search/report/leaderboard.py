"""The report's table of all recipes of the search that ran to the end, the pick marked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.metrics import decided_by, metric_of
from search.records.trials import Trial
from search.report.render import Table
from search.report.runs_table import what
from search.stages.selection import pick, ranked
from search.verdict.wording import count, metric_words

MOST_PLACES = 20
"""Rows of the table; all runs follow below it anyway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """The table, and a sentence on the order and on why the pick is the pick."""

    table: Table
    why: str


def leaderboard(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Leaderboard | None:
    """Build the table from the trials of the search, or return None if none ran to the end."""
    searched = [trial for trial in trials if trial.spec.stage == "search"]
    order = ranked(searched, metric=config.metric, num_val=plan.data.num_val)
    if not order:
        return None
    picked = pick(searched, top=config.rerun_top, metric=config.metric, num_val=plan.data.num_val)
    shown = tuple(dict.fromkeys((metric_of(config.metric), decided_by(config.metric))))
    again = {t.spec.trial_id: _again(searched, t, config.metric) for t in order}
    rows = []
    for place, trial in enumerate(order[:MOST_PLACES], start=1):
        is_picked = trial.spec.recipe == picked
        values = [trial.records[-1].metrics.get(metric.on("val")) for metric in shown]
        rows.append(
            (
                f"{place}{' ★ picked' if is_picked else ''}",
                f"{trial.spec.trial_id}, {what(trial)}",
                *(
                    "" if value is None else metric.unit.value(value)
                    for metric, value in zip(shown, values, strict=True)
                ),
                again[trial.spec.trial_id],
            )
        )
    searched_by = metric_words(config.metric)
    num_again = sum(bool(text) for text in again.values())
    head = f"Placed by {searched_by} of the first run, as the search proposes and stops by it"
    if num_again > 1:
        head += (
            f". The first {count(num_again, 'recipe')} ran again on fresh splits and seeds, as the "
            "best of many owes part of its place to luck: of those that ran again most often, the "
            "best mean is the pick"
        )
    return Leaderboard(
        table=Table(
            head=(
                "place",
                "run",
                *(f"val {metric.head}" for metric in shown),
                f"again: mean of {shown[0].head}",
            ),
            rows=tuple(rows),
            numeric=frozenset(range(2, len(shown) + 3)),
        ),
        why=f"{head}.",
    )


def _again(trials: Sequence[Trial], trial: Trial, metric: str) -> str:
    """Return the mean over reruns and their number, or an empty text without any."""
    found = [
        t.records[-1].metrics[metric]
        for t in trials
        if t.spec.rerun_of == trial.spec.trial_id and t.is_full_length
    ]
    if not found:
        return ""
    return f"{metric_of(metric).unit.value(float(np.mean(found)))} ({len(found)})"
