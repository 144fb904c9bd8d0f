"""Outputs of notebook cells with the report's look: plan, verdict, table of runs, progress.

Each is a piece of HTML with its own style, which touches nothing outside of it, and without
scripts, so that JupyterLab, VS Code and Colab show it alike and a saved notebook keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.text import duration
from search.records.metrics import decided_by
from search.records.trials import Trial
from search.report.answer import Answer, answer_of
from search.report.figures.catalogue import Figure
from search.report.plan_section import PlanSection, plan_section
from search.report.render import Table, render
from search.report.runs_table import runs_table
from search.stages.analysis import Analysis


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlanShown:
    """The values of ``notebook_plan.html.jinja``: the plan, and its expected time as a title."""

    title: str
    plan: PlanSection


@dataclass(frozen=True, kw_only=True, slots=True)
class _VerdictShown:
    """The values of ``notebook_verdict.html.jinja``: the top of the report, and the files."""

    answer: Answer
    files: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageBar:
    """A bar of the progress: a stage, what has ended, what is expected, and the share of it."""

    name: str
    num_ended: int
    num_expected: int
    percent: str


def plan_html(config: RunConfig, plan: Plan, *, estimate_s: float | None) -> str:
    """Render a plan, with the expected seconds of the whole run or None if they are unknown."""
    takes = "time unknown" if estimate_s is None else f"about {duration(estimate_s)}"
    title = f"{config.dataset.rpartition('/')[2]}: {takes}"
    return render(
        "notebook_plan.html.jinja",
        report=_PlanShown(title=title, plan=plan_section(config, plan)),
    )


def verdict_html(config: RunConfig, analysis: Analysis) -> str:
    """Render a verdict: what is wrong, test results, gains, and every setting."""
    files = f"{config.path}: report.html has all of this with its figures; best.yaml the recipe."
    return render(
        "notebook_verdict.html.jinja",
        report=_VerdictShown(answer=answer_of(analysis), files=files),
    )


def runs_html(title: str, config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> str:
    """Render the table of a finished run's trials."""
    shown = runs_table(trials, decided_by(config.metric), space=plan.space, shows_test=True)
    return render("notebook_runs.html.jinja", title=title, runs=shown)


def table_html(
    title: str,
    *,
    sentences: Sequence[str] = (),
    rows: Table | None = None,
    figure: Figure | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """Render a title, sentences, a table, a figure and remarks; names in back quotes are code."""
    return render(
        "notebook_table.html.jinja",
        title=title,
        sentences=sentences,
        rows=rows,
        figure=figure,
        remarks=remarks,
    )


def progress_html(
    title: str, *, stages: Sequence[StageBar], text: str, lines: Sequence[str]
) -> str:
    """Render the progress of a run: bars of its stages, a line, and the lines said so far."""
    return render(
        "notebook_progress.html.jinja", title=title, stages=stages, text=text, lines=lines
    )
