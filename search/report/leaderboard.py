"""The report's table of all recipes of the search that ran to the end, the pick marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.metrics import Metric, decided_by, metric_of
from search.records.trials import Trial
from search.report.render import Table
from search.report.runs_table import what
from search.stages.standings import Standing, reason_of_pick, standings
from search.verdict.wording import metric_words

MOST_PLACES = 20
"""Rows of the table; all runs follow below it anyway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """The table, and sentences on the order and on why the pick is the pick."""

    table: Table
    why: str


def leaderboard(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Leaderboard | None:
    """Build the table from the trials of the search, or return None if none ran to the end."""
    num_val = plan.data.num_val
    found = standings(trials, top=config.rerun_top, metric=config.metric, num_val=num_val)
    if not found:
        return None
    metric = metric_of(config.metric)
    shown = tuple(dict.fromkeys((metric, decided_by(config.metric))))
    # The pick has its row however far down it stands.
    rows = [one for one in found if one.place <= MOST_PLACES or one.is_picked]
    again = ", so the first few ran again on fresh splits and seeds"
    return Leaderboard(
        table=Table(
            head=(
                "place",
                "run",
                *(f"val {shown_metric.head}" for shown_metric in shown),
                f"again: mean of {metric.head}",
            ),
            rows=tuple(_row(one, shown) for one in rows),
            numeric=frozenset(range(2, len(shown) + 3)),
        ),
        why=f"Placed by {metric_words(config.metric)} of the first run, by which the search "
        "proposes and stops; the best of many owes part of its place to luck"
        f"{again if any(one.num_again for one in found) else ''}. "
        f"{reason_of_pick(found, metric=config.metric, num_val=num_val)}",
    )


def _row(one: Standing, shown: Sequence[Metric]) -> tuple[str, ...]:
    values = [one.trial.records[-1].metrics.get(metric.on("val")) for metric in shown]
    again = "" if one.again is None else f"{shown[0].unit.value(one.again)} ({one.num_again})"
    return (
        f"{one.place}{' ★ picked' if one.is_picked else ''}",
        f"{one.trial.spec.trial_id}, {what(one.trial)}",
        *(
            "" if value is None else metric.unit.value(value)
            for metric, value in zip(shown, values, strict=True)
        ),
        again,
    )
