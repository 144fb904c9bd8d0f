"""A run that compares whole recipes: an ablation, or a contest of optimizers.

It shares plan, journal, conductor, workers, tracking and resuming with a search, and differs in the
trials that are run and in the results that are reported.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from search.commands.ablation.variants import FULL, full_recipe
from search.commands.comparison_page import Page, comparison_page
from search.commands.console import say, tell_of_tracking
from search.commands.job import Job, Say, Session
from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan
from search.plan.resources import num_workers
from search.plan.stage_size import StageSize, estimate_s
from search.plan.text import class_line, duration, task_line
from search.records.files import write_json, write_text
from search.records.journal import Journal
from search.records.trials import Trial
from search.report.figures.catalogue import Figure, write_figures
from search.report.tables import write_rows, write_trials
from search.report.terminal import where_to_look
from search.tracking.answer import Answer
from trainable.data.datasets import Dataset

log = logging.getLogger("search")


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The results of a comparison, in the form of each output.

    Attributes:
        data: Content of the JSON file.
        rows: Rows of the CSV file.
        answer: Result for the tracking store.
        figure: Figure of the result.
        lines: Lines that the terminal prints before the table of ``answer``.
        remarks: Lines that the terminal prints after it.
    """

    data: dict[str, Any]
    rows: Sequence[dict[str, object]]
    answer: Answer
    figure: Figure
    lines: Sequence[str]
    remarks: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One kind of comparison, as functions of configuration, plan and journal.

    Attributes:
        kind: Stem of its files, and its tag in the tracking store.
        stages: Returns the functions that make its stages.
        sizes: Returns the expected sizes of its stages before anything is timed.
        plan_lines: Returns a description of the runs to come.
        timed: Returns the sizes with the seconds of a trial, which are None if it diverges.
        find: Computes the results from the trials.
    """

    kind: str
    stages: Callable[[RunConfig, Plan, Journal], list[Callable[[], Stage]]]
    sizes: Callable[[RunConfig, Plan], list[StageSize]]
    plan_lines: Callable[[RunConfig, Plan], list[str]]
    timed: Callable[[RunConfig, Plan, Dataset], list[StageSize]]
    find: Callable[[RunConfig, Plan, Sequence[Trial]], Findings]


def comparison_job(comparison: Comparison) -> Job:
    """Make the job that runs a comparison."""

    def show(console: Console, config: RunConfig, plan: Plan, dataset: Dataset) -> list[StageSize]:
        for line in (task_line(plan), class_line(plan), *(f"  {note}" for note in plan.notes)):
            say(console, line)
        for line in comparison.plan_lines(config, plan):
            say(console, line)
        sizes = comparison.timed(config, plan, dataset)
        seconds = estimate_s(sizes, num_workers(config))
        if seconds is not None:
            say(console, f"About {duration(seconds)} in all. Test images are not touched.\n")
        return sizes

    def stages(session: Session, deadline: float | None, say: Say) -> list[Callable[[], Stage]]:
        return comparison.stages(session.config, session.plan, session.journal)

    return Job(
        kind=comparison.kind,
        result=f"{comparison.kind}.json",
        make_plan=_plan,
        show=show,
        sizes=comparison.sizes,
        stages=stages,
        watch=lambda session: lambda trial: None,
        tell=lambda session: _tell(session, comparison),
    )


def _plan(config: RunConfig) -> tuple[Plan, Dataset]:
    if config.reference != FULL:
        return make_plan(config)
    plan, dataset = make_plan(replace(config, reference="imagenet"))
    recipe, notes = full_recipe(plan.reference, plan.task)
    anchors = {**plan.anchors, "reference": recipe}
    return replace(plan, anchors=anchors, notes=(*notes, *plan.notes)), dataset


def _tell(session: Session, comparison: Comparison) -> None:
    """Write all result files, upload them to the store, and print the result."""
    config, plan, journal = session.config, session.plan, session.journal
    trials = list(journal.trials.values())
    found = comparison.find(config, plan, trials)
    path = config.path
    write_trials(
        path / "trials.csv",
        trials,
        raw=plan.space.raw_of,
        effective=plan.effective_values,
    )
    write_rows(path / f"{comparison.kind}.csv", found.rows)
    write_figures(path / "figures", {found.figure.name: found.figure})
    page = Page(
        title=f"{config.run_name}: {comparison.kind}",
        about=f"{config.run_name} · {task_line(plan)}",
        sentence=found.answer.sentence,
        lines=found.lines,
        figure=found.figure,
        rows=found.answer.rows,
        remarks=found.remarks,
    )
    write_text(path / "report.html", comparison_page(page))
    # Last, for this file marks the run as finished.
    write_json(path / f"{comparison.kind}.json", {**found.data, "wall_s": journal.wall_s})
    session.tracker.close_search("FINISHED", verdict=None, artifacts=path, answer=found.answer)
    tell_of_tracking(session.console, session.tracker.problems)
    _print(session.console, config, comparison, found)


def _print(console: Console, config: RunConfig, comparison: Comparison, found: Findings) -> None:
    from rich.table import Table

    console.print()
    console.print(found.answer.sentence, style="bold", highlight=False)
    for line in found.lines:
        console.print(line, highlight=False)
    table = Table()
    for name in found.answer.rows[0] if found.answer.rows else ():
        table.add_column(name, justify="left" if name in _WORDS else "right")
    for row in found.answer.rows:
        table.add_row(*row.values())
    console.print(table)
    for remark in found.remarks:
        console.print(f"  {remark}", highlight=False)
    for what, where in (
        ("The whole story:", config.path / "report.html"),
        ("The numbers:", config.path / f"{comparison.kind}.json"),
        ("The picture:", config.path / "figures" / f"{found.figure.name}.png"),
        ("Look:", where_to_look(config.tracking_uri)),
    ):
        say(console, f"{what:<24}{where}")


_WORDS = ("ingredient", "what it does", "optimizer", "compared at")
