"""The runs of a comparison, as many at once as there is room for, until the experiment is over."""

from collections.abc import Callable

from rich.console import Console

from search.commands.compare.answer.finding import Finding
from search.commands.compare.answer.judging import judging, largest_effect
from search.commands.compare.asked.layout import Layout, ends
from search.commands.compare.asked.request import Request
from search.commands.compare.progress import Progress
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.schedule import awaits_layout, next_cells, script_run
from search.commands.compare.script import Outcome, execute
from search.commands.compare.suspicion import why_useless
from search.commands.compare.tracked import child_runs
from search.commands.console import say
from search.commands.errors import RunFailed
from search.engine import cluster
from search.engine import run as tune_run
from search.engine.script_runs import CallsOnRay, Lost
from search.records.command_line import as_typed
from search.tracking.scripts.tracker import CompareTracker


def run_all(
    request: Request, layout: Layout, run_log: RunLog, tracker: CompareTracker, console: Console
) -> None:
    """Run every cell that has no result yet; returns at once where all have one."""
    run_log.adopt_ended()
    judge = judging(request, layout, run_log)
    if not next_runs(request, layout, run_log, judge):
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
    said = set(warnings_of(run_log, layout))
    progress = Progress(request, layout, run_log, judge, places=places)
    try:
        while cells := next_runs(request, layout, run_log, judge):
            free = [cell for cell in cells if cell.run_id not in running]
            for cell in free[: places - len(running)]:
                directory = run_log.begin(cell)
                calls.start(cell.run_id, script_run(request, cell, directory))
                running.add(cell.run_id)
            for run_id, answer in calls.answers():
                running.discard(run_id)
                outcome = _outcome(run_id, answer)
                run_log.end(outcome)
                say(console, progress.line(outcome))
                for warning in warnings_of(run_log, layout):
                    if warning not in said:
                        say(console, warning, style="yellow")
                        said.add(warning)
                tracker.log(child_runs(request, run_log))
            useless = why_useless(request, run_log)
            if useless:
                raise RunFailed(useless)
    finally:
        calls.cancel()


def next_runs(
    request: Request, layout: Layout, run_log: RunLog, judge: Callable[[], Finding]
) -> list[Cell]:
    """All runs that may be made now; lays out the second round where it is time to."""
    if awaits_layout(request, layout, run_log):
        run_log.lay_out(largest_effect(request, layout, run_log))
    return next_cells(request, layout, run_log, judge)


def warnings_of(run_log: RunLog, layout: Layout) -> list[str]:
    """Warn of the reference, or the best, if its first run crashed on every try.

    Where no run has the metric there is nothing to warn of: the comparison ends by itself.
    """
    if all(outcome.is_missing for outcome in run_log.outcomes.values()):
        return []
    said = []
    for words, levels in zip(("yours", "the best"), ends(layout), strict=True):
        ids = (cell.run_id for cell in run_log.cells.values() if cell.levels == levels)
        first = next(ids, "")
        if run_log.is_over(first) and not run_log.outcomes[first].is_done:
            said.append(
                as_typed(
                    f"! {words} as a whole gives no result. If that is a mistake, end this by "
                    "Ctrl-C, mend it and compare anew under another `--run-name`; else it is found "
                    "out which values make runs fail, and the rest is known less well."
                )
            )
    return said


def _outcome(run_id: str, answer: Outcome | Lost) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    return Outcome(
        run_id=run_id, exit_code=None, seconds=0.0, problem=f"its worker died: {answer.problem}"
    )
