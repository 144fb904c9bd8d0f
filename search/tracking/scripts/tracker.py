"""A comparison of two configurations in MLflow: a parent run, and a child for each run of a script.

As with a search, the run directory is the truth: no failure of the store touches the comparison,
and whatever is missing is found and written by a later call or a later process.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from search.tracking.notes import markdown
from search.tracking.open_store import failures, open_store
from search.tracking.patience import Patience
from search.tracking.store import Point, Store, quotable

EXPERIMENT = "recipe-comparisons"
"""MLflow experiment of all comparisons of scripts."""
_OPEN = "open the store"


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareInfo:
    """Facts about a comparison that are written once, when it begins.

    Attributes:
        compare_id: What no other comparison in the store is called.
        run_name: Name for people.
        params: Command, metric, and both values of each factor.
    """

    compare_id: str
    run_name: str
    params: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildRun:
    """One run of the script that has ended.

    Attributes:
        run_id: Its name in the comparison.
        params: Value of each factor, seed and role.
        metrics: By name; finite numbers.
        is_done: Whether it has a result.
        seconds: Wall-clock.
        ended: When, in seconds since 1970.
        log: File with what it printed.
    """

    run_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    is_done: bool
    seconds: float
    ended: float
    log: Path


@dataclass(kw_only=True, slots=True)
class _Opened:
    """The parent run and the children that the store has."""

    store: Store
    parent: str
    known: set[str] = field(default_factory=set)


class CompareTracker:
    """One comparison in a tracking store. No method raises because of the store.

    Args:
        uri: Address of a tracking store, or None for the embedded one in ``store_dir``.
        store_dir: Directory of the embedded store.
        info: What is said once.
    """

    def __init__(self, uri: str | None, *, store_dir: Path, info: CompareInfo) -> None:
        self._connect = partial(open_store, uri, store_dir=store_dir, experiment=EXPERIMENT)
        self._info = info
        self._patience = Patience(failures())
        self._opened: _Opened | None = None
        self._patience.attempt(_OPEN, self._open, free=True)

    @property
    def problems(self) -> list[str]:
        """Parts that the store still lacks and why, one line each."""
        return self._patience.problems

    def log(self, children: Sequence[ChildRun]) -> None:
        """Write the runs that the store lacks, if a call is due."""
        if self._patience.is_due:
            self._attempt("log the runs", partial(_log_children, children=children))

    def close(
        self,
        status: Literal["FINISHED", "KILLED", "FAILED"],
        children: Sequence[ChildRun],
        *,
        sentences: Sequence[str] = (),
        rows: Sequence[Mapping[str, str]] = (),
        metrics: Mapping[str, float] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        """Write everything that is missing and end the parent run.

        Args:
            status: How it ended; a killed or failed one can be gone on with.
            children: All runs that ended.
            sentences: The answer, for the run's description.
            rows: Table of the factors under it.
            metrics: Numbers of the parent run.
            files: Artifacts.
        """
        self._patience.last_chance()
        self._attempt("log the runs", partial(_log_children, children=children))
        if sentences:
            note = "\n\n".join([f"**{sentences[0]}**", *sentences[1:], markdown(rows)])
            tell = partial(_log_answer, note=note, metrics=metrics or {}, files=files)
            self._attempt("log the answer", tell)
        self._attempt("end the run", lambda opened: opened.store.end_run(opened.parent, status))

    def _attempt(self, what: str, call: Callable[[_Opened], None]) -> None:
        def with_run() -> None:
            opened = self._opened or self._open()
            # After a failure it is unknown what arrived, so the next call asks the store again.
            self._opened = None
            call(opened)
            self._opened = opened

        if not self._patience.is_paused:
            self._patience.attempt(what, with_run)

    def _open(self) -> _Opened:
        """Find the parent run by its tag, or make it."""
        store, info = self._connect(), self._info
        name = quotable(info.compare_id)
        found = store.find_runs(f"tags.compare_id = '{name}' and tags.role = 'comparison'")
        if found:
            parent = found[0].run_id
            if found[0].status != "RUNNING":
                store.reopen_run(parent)
        else:
            parent = store.create_run(info.run_name, {"compare_id": name, "role": "comparison"})
        missing = {k: v for k, v in info.params.items() if not found or k not in found[0].params}
        store.log(parent, params=missing)
        children = store.find_runs(f"tags.compare_id = '{name}' and tags.role = 'script'")
        # A child that was cut off while it was written is written again, as another run.
        known = {
            child.tags["script_run"] for child in children if child.status in ("FINISHED", "FAILED")
        }
        for child in children:
            if child.status == "RUNNING":
                store.delete_run(child.run_id)
        self._patience.solved(_OPEN)
        self._opened = _Opened(store=store, parent=parent, known=known)
        return self._opened


def _log_children(opened: _Opened, children: Sequence[ChildRun]) -> None:
    parent = opened.store.client.get_run(opened.parent)
    compare_id = parent.data.tags["compare_id"]
    for child in children:
        if child.run_id in opened.known:
            continue
        started = child.ended - child.seconds
        run_id = opened.store.create_run(
            child.run_id,
            {
                "mlflow.parentRunId": opened.parent,
                "compare_id": compare_id,
                "role": "script",
                "script_run": child.run_id,
            },
            start=started,
        )
        points = [
            Point(name=name, value=value, step=0, time=child.ended)
            for name, value in child.metrics.items()
            if math.isfinite(value)
        ]
        opened.store.log(run_id, metrics=points, params=child.params)
        if child.log.is_file() and not child.is_done:
            opened.store.log_file(run_id, child.log)
        opened.store.end_run(run_id, "FINISHED" if child.is_done else "FAILED", end=child.ended)
        opened.known.add(child.run_id)


def _log_answer(
    opened: _Opened, note: str, metrics: Mapping[str, float], files: Sequence[Path]
) -> None:
    for file in files:
        opened.store.log_file(opened.parent, file)
    points = [
        Point(name=name, value=value, step=0)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]
    opened.store.log(opened.parent, metrics=points, tags={"mlflow.note.content": note})
