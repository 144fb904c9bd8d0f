"""``make compare`` from top to bottom: check, show the plan, run the script, tell the answer."""

import csv
import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.commands.compare.answer import (
    Verdict,
    advised_text,
    confirmed_sentence,
    remarks,
    rows,
    sentence,
    to_dict,
    verdict_of,
)
from search.commands.compare.figure import factors_figure
from search.commands.compare.layout import Layout
from search.commands.compare.plan_text import plan_lines
from search.commands.compare.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import next_cells, script_run
from search.commands.compare.script import LOG_FILE, Outcome, execute
from search.commands.compare.statistics import Finding, find, metric_for
from search.commands.compare.suspicion import why_useless
from search.commands.comparison_page import Page, comparison_page
from search.commands.console import make_console, say, tell_of_tracking
from search.commands.errors import RunFailed, RunInterrupted
from search.commands.live import LiveConsole
from search.commands.session import interruptible, log_file
from search.engine import cluster
from search.engine import run as tune_run
from search.engine.script_runs import CallsOnRay, Lost
from search.engine.session_place import require_session_place
from search.records.command_line import next_command
from search.records.files import (
    make_writable,
    only_driver,
    read_json,
    require_closed,
    write_json,
    write_text,
)
from search.records.home import Home
from search.records.run_names import require_run_name
from search.report.figures.catalogue import write_figures
from search.report.terminal import where_to_look
from search.tracking.open_store import STORE_DIR
from search.tracking.scripts.tracker import ChildRun, CompareInfo, CompareTracker
from spaces.errors import InputError

FILE = "compare.json"
log = logging.getLogger("search")


def compare_new(request: Request, *, dry_run: bool = False, console: Console | None = None) -> None:
    """Do a comparison from the beginning, or only show what would be run.

    Args:
        request: What is asked.
        dry_run: Whether to only show it.
        console: Console to print to; None for standard output.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
    """
    require_run_name(request.run_name, flag="run_name")
    request.check()
    console = console or make_console()
    for line in plan_lines(request, every_run=dry_run):
        say(console, line)
    if dry_run:
        return
    path = request.path
    _require_unbegun(path)
    _reach(request)
    make_writable(path)
    with only_driver(path):
        _require_unbegun(path)  # Again: another start under this name may have come first.
        request = replace(request, home=Home.at(path, has_begun=True))
        write_json(path / FILE, request.to_dict())
        _work(request, console)


def _require_unbegun(path: Path) -> None:
    """Refuse a directory that holds more than the lock of a start that was killed at once."""
    if path.exists() and any(found.name != ".lock" for found in path.iterdir()):
        raise InputError(
            f"{path} exists; choose another RUN_NAME, or go on with: "
            f"{next_command('resume', RUN=path)}"
        )


def compare_again(path: Path, *, console: Console | None = None) -> None:
    """Go on with an interrupted comparison; a finished one is only written out again.

    Args:
        path: Its directory.
        console: Console to print to; None for standard output.

    Raises:
        InputError: If it is no comparison.
    """
    require_closed(path)
    request = Request.from_dict(read_json(path / FILE), path=path)
    _reach(request)
    with only_driver(path):
        _work(request, console or make_console())


def _reach(request: Request) -> None:
    if request.ray_address:
        cluster.connect(request.ray_address)
    else:
        require_session_place()


def _work(request: Request, console: Console) -> None:
    """Everything after the plan; whatever happens, the directory can be gone on from."""
    path, layout, started = request.path, request.layout, time.monotonic()
    go_on = f"Interrupted. Go on with: {next_command('resume', RUN=path)}"
    may_leave = not isinstance(console, LiveConsole)
    with log_file(path / "log.txt"), interruptible(may_leave=may_leave) as interruption:
        run_log = RunLog(path)
        tracker = CompareTracker(request.tracking_uri, store_dir=STORE_DIR, info=_info(request))
        tell_of_tracking(console, tracker.problems)
        has_failed = False
        again = next_command("resume", RUN=path)
        try:
            _run_all(request, layout, run_log, tracker, console)
            run_log.add_seconds(time.monotonic() - started)
            _tell(request, layout, run_log, tracker, console)
        except KeyboardInterrupt:
            interruption.closes(go_on)
            tracker.close("KILLED", _children(request, run_log))
            raise RunInterrupted(go_on, path=path) from None
        except Exception as error:
            has_failed = True
            log.exception("the comparison failed")
            tracker.close("FAILED", _children(request, run_log))
            what = (
                str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
            )
            raise RunFailed(f"{what} The log is {path / 'log.txt'}; go on with: {again}") from error
        finally:
            interruption.closes(go_on)
            tune_run.stop_ray(keeps_logs=has_failed)
    tell_of_tracking(console, tracker.problems)


def _run_all(
    request: Request, layout: Layout, run_log: RunLog, tracker: CompareTracker, console: Console
) -> None:
    """Run every cell that has no result yet; returns at once where all have one."""
    run_log.adopt_ended()
    judge = _judging(request, layout, run_log)
    if not next_cells(request, layout, run_log, judge):
        return
    tune_run.start_ray(
        tune_run.Resources(
            cpus_per_trial=request.cpus_per_run,
            gpus_per_trial=request.gpus_per_run,
            ray_address=request.ray_address,
            storage=request.run_dir,
        )
    )
    calls = CallsOnRay(execute, cpus=request.cpus_per_run, gpus=request.gpus_per_run)
    places = max(
        1,
        cluster.num_places(
            cpus_per_trial=request.cpus_per_run, gpus_per_trial=request.gpus_per_run
        ),
    )
    running: set[str] = set()
    try:
        while cells := next_cells(request, layout, run_log, judge):
            free = [cell for cell in cells if cell.run_id not in running]
            for cell in free[: places - len(running)]:
                directory = run_log.begin(cell)
                calls.start(cell.run_id, script_run(request, cell, directory))
                running.add(cell.run_id)
            for run_id, answer in calls.answers():
                running.discard(run_id)
                outcome = _outcome(run_id, answer)
                run_log.end(outcome)
                _show(console, request, run_log, outcome)
                tracker.log(_children(request, run_log))
            useless = why_useless(request, run_log)
            if useless:
                raise RunFailed(useless)
    finally:
        calls.cancel()


def _judging(request: Request, layout: Layout, run_log: RunLog) -> Callable[[], Finding]:
    """Return what judges the experiment so far, once for each number of runs that have ended."""
    known: dict[int, Finding] = {}

    def judge() -> Finding:
        ended = sum(run_log.is_over(cell.run_id) for cell in run_log.of_stage("attribute"))
        if ended not in known:
            measures = request.measures
            metric = metric_for(measures[0], run_log, request.margin)
            known[ended] = find(layout, run_log, measures, metric, most_rounds=request.rounds)
        return known[ended]

    return judge


def _outcome(run_id: str, answer: Outcome | Lost) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    return Outcome(
        run_id=run_id, exit_code=None, seconds=0.0, problem=f"its worker died: {answer.problem}"
    )


def _tell(
    request: Request, layout: Layout, run_log: RunLog, tracker: CompareTracker, console: Console
) -> None:
    """Write every file, hand everything to the store, print the answer."""
    path = request.path
    num_blocks = len({cell.block for cell in run_log.of_stage("attribute")})
    verdict = verdict_of(
        request,
        layout,
        run_log,
        _judging(request, layout, run_log)(),
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
        lines=[confirmed_sentence(verdict)],
        figure=figure,
        rows=rows(verdict),
        remarks=remarks(verdict),
    )
    write_text(path / "report.html", comparison_page(page))
    write_json(path / "verdict.json", to_dict(verdict))
    _write_runs(request, run_log)
    tracker.close(
        "FINISHED",
        _children(request, run_log),
        sentences=[sentence(verdict), confirmed_sentence(verdict), *remarks(verdict)],
        rows=rows(verdict),
        metrics=_numbers(verdict),
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
    for what, where in (
        ("Your configuration, mended:", advised),
        ("The whole story:", request.path / "report.html"),
        ("Look:", where_to_look(request.tracking_uri)),
    ):
        say(console, f"{what:<28}{where}")


def _show(console: Console, request: Request, run_log: RunLog, outcome: Outcome) -> None:
    """One line for a run that has ended."""
    cell = run_log.cells[outcome.run_id]
    of_stage = run_log.of_stage(cell.stage)
    ended = sum(run_log.is_over(other.run_id) for other in of_stage)
    if outcome.is_done:
        numbers = ", ".join(f"{m.name} {outcome.metrics[m.text]:.6g}" for m in request.measures)
        said = f"{numbers} in {outcome.seconds:.1f} s"
    else:
        ending = "" if run_log.is_over(outcome.run_id) else "; it is tried once more"
        said = f"{outcome.problem}{ending}"
    say(console, f"{cell.stage} {ended} {cell.run_id} (seed {cell.seed}): {said}")


def _children(request: Request, run_log: RunLog) -> list[ChildRun]:
    factors = request.factors
    return [
        ChildRun(
            run_id=run_id,
            params={
                **{f.name: f.words(run_log.cells[run_id].levels[f.name]) for f in factors},
                "seed": str(run_log.cells[run_id].seed),
                "stage": run_log.cells[run_id].stage,
                "role": run_log.cells[run_id].role,
            },
            metrics={
                m.name: outcome.metrics[m.text]
                for m in request.measures
                if m.text in outcome.metrics
            },
            is_done=outcome.is_done,
            seconds=outcome.seconds,
            ended=_ended(run_log.directory(run_id)),
            log=run_log.directory(run_id) / LOG_FILE,
        )
        for run_id, outcome in run_log.outcomes.items()
        if run_log.is_over(run_id)
    ]


def _ended(directory: Path) -> float:
    """Return when a run ended, in seconds since 1970, by the file that it wrote last."""
    path = directory / "exit.json"
    return path.stat().st_mtime if path.is_file() else time.time()


def _write_runs(request: Request, run_log: RunLog) -> None:
    """Every run with its levels and results, for a spreadsheet."""
    text = io.StringIO()
    factors, measures = request.factors, request.measures
    table = csv.writer(text)
    head = ["run", "stage", "role", "block", "seed", *(f.name for f in factors)]
    table.writerow([*head, *(m.name for m in measures), "seconds", "exit_code", "problem"])
    for run_id, outcome in run_log.outcomes.items():
        cell: Cell = run_log.cells[run_id]
        table.writerow(
            [
                *(run_id, cell.stage, cell.role, cell.block, cell.seed),
                *(f.words(cell.levels[f.name]) for f in factors),
                *(outcome.metrics.get(m.text, "") for m in measures),
                *(f"{outcome.seconds:.3f}", outcome.exit_code, outcome.problem),
            ]
        )
    write_text(request.path / "runs.csv", text.getvalue())


def _numbers(verdict: Verdict) -> dict[str, float]:
    """Collect the metrics of the parent run: effects, and means of the confirmation."""
    text = verdict.request.metrics[0]
    numbers = {
        f"effect/{_key(found.name)}": found.effects[text].mean for _, found in verdict.factors
    }
    if verdict.confirmation is not None:
        numbers |= {f"confirmed/{role}": v for role, v in verdict.confirmation.means.items()}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _key(name: str) -> str:
    """A factor's name as part of a metric's in MLflow."""
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in name)


def _info(request: Request) -> CompareInfo:
    params = {"command": request.command, "metric": request.metrics[0], "seed": str(request.seed)}
    for factor in request.factors:
        params[f"reference.{_key(factor.name)}"] = factor.words(-1)
        params[f"best.{_key(factor.name)}"] = factor.words(1)
    return CompareInfo(compare_id=request.compare_id, run_name=request.run_name, params=params)
