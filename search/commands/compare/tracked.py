"""Facts on a comparison and on each run of the script, as the tracking store gets them."""

import math
import re
import time
from pathlib import Path

from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import RunLog
from search.commands.compare.script import EXIT, LOG_FILE
from search.tracking.scripts.tracker import ChildRun, CompareInfo


def compare_info(request: Request) -> CompareInfo:
    """Collect what the store is told once: command, metric, and both values of each factor."""
    params = {"command": request.command, "metric": request.metrics[0], "seed": str(request.seed)}
    for factor in request.factors:
        params[f"reference.{_key(factor.name)}"] = factor.words(REFERENCE)
        params[f"best.{_key(factor.name)}"] = factor.words(BEST)
    return CompareInfo(compare_id=request.compare_id, run_name=request.run_name, params=params)


def child_runs(request: Request, run_log: RunLog) -> list[ChildRun]:
    """List the runs that are over, with their values and results."""
    factors = request.factors
    return [
        ChildRun(
            run_id=run_id,
            params={
                **{
                    tracked_name(f.name): f.words(run_log.cells[run_id].levels[f.name])
                    for f in factors
                },
                "seed": str(run_log.cells[run_id].seed),
                "stage": run_log.cells[run_id].stage,
                "role": run_log.cells[run_id].role,
            },
            metrics={
                tracked_name(m.name): outcome.metrics[m.text]
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


def tracked_name(name: str) -> str:
    """Write a metric's or factor's name in the characters that MLflow takes.

    Others, of which a regular expression has many, become underscores, several in a row one.
    """
    return re.sub(r"[^A-Za-z0-9_\-. :/]+", "_", name).strip("_ ") or "metric"


def _ended(directory: Path) -> float:
    """Return when a run ended, in seconds since 1970, by the file that it wrote last."""
    path = directory / EXIT
    return path.stat().st_mtime if path.is_file() else time.time()


def parent_metrics(verdict: Verdict) -> dict[str, float]:
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
