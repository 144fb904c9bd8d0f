"""The end of a comparison: every file, the tracking store, and the answer on the terminal."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.commands.compare.answer.figure import factors_figure
from search.commands.compare.answer.judging import judging
from search.commands.compare.answer.remarks import ending, remarks, warnings
from search.commands.compare.answer.sentences import confirmed_sentence, rows, sentence
from search.commands.compare.answer.verdict import Verdict, verdict_of
from search.commands.compare.answer.written import advised_text, to_dict
from search.commands.compare.asked.layout import Layout
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import laid_out
from search.commands.compare.tracked import child_runs, parent_metrics
from search.commands.comparison_page import Page, comparison_page
from search.commands.console import say
from search.records.files import write_json, write_text
from search.report.figures.catalogue import write_figures
from search.report.terminal import where_to_look
from search.tracking.scripts.tracker import CompareTracker


def tell(
    request: Request, layout: Layout, run_log: RunLog, tracker: CompareTracker, console: Console
) -> None:
    """Write every file, hand everything to the store, print the answer."""
    path, layout = request.path, laid_out(layout, run_log)
    num_blocks = len({cell.block for cell in run_log.of_stage("attribute")})
    verdict = verdict_of(
        request,
        layout,
        run_log,
        judging(request, layout, run_log)(),
        rounds=num_blocks // layout.blocks_per_round,
    )
    figure = factors_figure(verdict)
    write_figures(path / "figures", {figure.name: figure})
    advised = path / f"advised{verdict.advised.suffix}"
    write_text(advised, advised_text(verdict))
    page = Page(
        title=f"{request.run_name}: comparison",
        about=f"{request.run_name} · {request.command} · {len(run_log.outcomes)} runs · "
        f"{request.reference_path} against {request.best_path}",
        sentence=sentence(verdict),
        lines=[confirmed_sentence(verdict), *warnings(verdict), ending(verdict)],
        figure=figure,
        rows=rows(verdict),
        remarks=remarks(verdict),
        files=((advised.name, "to go on with"), ("runs.csv", "every run"), ("log.txt", "the log")),
    )
    write_text(path / "report.html", comparison_page(page))
    write_json(path / "verdict.json", to_dict(verdict))
    _write_runs(request, run_log, verdict.finding.advised)
    tracker.close(
        "FINISHED",
        child_runs(request, run_log),
        sentences=[
            sentence(verdict),
            confirmed_sentence(verdict),
            *warnings(verdict),
            ending(verdict),
            *remarks(verdict),
        ],
        rows=rows(verdict),
        metrics=parent_metrics(verdict),
        files=[advised, path / "verdict.json", path / "report.html", path / "runs.csv"],
    )
    _print(console, request, verdict, advised)


def _print(console: Console, request: Request, verdict: Verdict, advised: Path) -> None:
    console.print()
    console.print(sentence(verdict), style="bold", highlight=False, markup=False)
    console.print(confirmed_sentence(verdict), highlight=False, markup=False)
    table = Table()
    found = rows(verdict)
    for name in found[0]:
        table.add_column(name)
    for row in found:
        table.add_row(*(Text(cell) for cell in row.values()))
    console.print(table)
    for line in (*warnings(verdict), ending(verdict)):
        say(console, line)
    for what, where in (
        ("To go on with:", advised),
        ("The whole story:", request.path / "report.html"),
        ("Look:", where_to_look(request.tracking_uri)),
    ):
        say(console, f"{what:<17}{where}")


def _write_runs(request: Request, run_log: RunLog, advised: Mapping[str, int]) -> None:
    """Every run with its levels and results, for a spreadsheet."""
    text = io.StringIO()
    factors, measures = request.factors, request.measures
    table = csv.writer(text)
    head = ["run", "stage", "role", "block", "seed", *(f.name for f in factors)]
    table.writerow([*head, *(m.name for m in measures), "seconds", "exit_code", "problem"])
    for run_id, outcome in run_log.outcomes.items():
        cell: Cell = run_log.cells[run_id]
        was_advised = cell.role == "advised" and cell.levels != advised  # Before a top-up.
        role = "advised before" if was_advised else cell.role
        table.writerow(
            [
                *(run_id, cell.stage, role, cell.block, cell.seed),
                *(f.words(cell.levels[f.name]) for f in factors),
                *(outcome.metrics.get(m.text, "") for m in measures),
                *(f"{outcome.seconds:.3f}", outcome.exit_code, outcome.problem),
            ]
        )
    write_text(request.path / "runs.csv", text.getvalue())
