"""The memory of a comparison: the runs that were begun, and how each of them ended.

``runs.jsonl`` has one line per event, on disk before anything rests on it. A run that was begun and
has no end is made again, unless its directory says that it ended (``exit.json``, written by the
worker): then the driver was killed before it could note that, and the run is not repeated.
"""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands.compare.script import EXIT, NO_RESULT, Outcome
from search.records.files import read_json
from search.records.journal_lines import read_lines
from search.records.strict_json import build, parse_json
from spaces.errors import InputError
from trainable.whole_file import sync

FILE = "runs.jsonl"
MOST_ATTEMPTS = 2
"""A run that crashes is tried once more: what ended it may have passed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One run of the comparison, fully determined before it starts.

    Attributes:
        run_id: ``attribute-0007`` or ``confirm-0002``.
        stage: ``attribute`` or ``confirm``.
        role: ``cell``, or the recipe that is confirmed: ``reference``, ``best`` or ``advised``.
        block: Block of the experiment, or number of the fresh seed.
        levels: Level of each factor: -1 the reference's, +1 the best's.
        seed: Value of ``{seed}``.
        fold: Value of ``{fold}``.
    """

    run_id: str
    stage: str
    role: str
    block: int
    levels: Mapping[str, int]
    seed: int
    fold: int


class RunLog:
    """The memory of one comparison, on disk and in memory.

    Args:
        directory: Of the comparison; must exist.

    Attributes:
        cells: Every run that was begun, by id, in that order.
        outcomes: How runs ended, by id: the last attempt of each.
        attempts: Attempts that ended, by id.
        seconds: Wall-clock that was worked on it.
        cleared: Factor by which the second round was laid out (`Layout.cleared`), if it was.

    Raises:
        InputError: If the file holds what no comparison wrote.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self.cells: dict[str, Cell] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.attempts: dict[str, int] = {}
        self.seconds = 0.0
        self.cleared: str | None = None
        end = 0
        for where, line in read_lines(self._path):
            self._apply(parse_json(line, where=where), where)
            end += len(line)
        if self._path.exists():
            os.truncate(self._path, end)  # What a crash left of a last line.

    def begin(self, cell: Cell) -> Path:
        """Note that a run is begun; returns the directory of this attempt."""
        if cell.run_id not in self.cells:
            self._write({"event": "begin", "cell": _plain(cell)})
        return self.directory(cell.run_id)

    def directory(self, run_id: str) -> Path:
        """Return the directory of the next attempt, or of the last one of a run that is over."""
        attempt = self.attempts.get(run_id, 0)
        if attempt and self.is_over(run_id):
            attempt -= 1
        name = run_id if attempt == 0 else f"{run_id}.{attempt + 1}"
        return self._path.parent / "runs" / name

    def end(self, outcome: Outcome) -> None:
        """Note how an attempt of a run ended."""
        self._write({"event": "end", "outcome": outcome.to_dict()})

    def adopt_ended(self) -> list[str]:
        """Note the runs that ended while nobody looked; returns their ids."""
        found = []
        for run_id in self.cells:
            path = self.directory(run_id) / EXIT
            if not self.is_over(run_id) and path.is_file():
                outcome = build(Outcome, read_json(path), where=str(path))
                if outcome.run_id == run_id:
                    self.end(outcome)
                    found.append(run_id)
        return found

    def is_over(self, run_id: str) -> bool:
        """Whether a run has a result, or another try would hardly bring one."""
        outcome = self.outcomes.get(run_id)
        return outcome is not None and _is_last(outcome, self.attempts[run_id])

    def of_stage(self, stage: str) -> list[Cell]:
        """The runs of one stage that were begun."""
        return [cell for cell in self.cells.values() if cell.stage == stage]

    def add_seconds(self, seconds: float) -> None:
        """Note the wall-clock that one process has worked on it."""
        self._write({"event": "worked", "seconds": seconds})

    def lay_out(self, cleared: str) -> None:
        """Note the factor by which the second round is laid out, before any of its runs begins."""
        self._write({"event": "laid out", "cleared": cleared})

    def _write(self, event: dict[str, Any]) -> None:
        event = {**event, "time": time.time()}
        line = json.dumps(event, allow_nan=False) + "\n"
        is_new = not self._path.exists()
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file.fileno())
        if is_new:
            sync(self._path.parent)
        self._apply(event, FILE)

    def _apply(self, event: Any, where: str) -> None:
        kind = event.get("event") if isinstance(event, dict) else None
        if kind == "begin":
            cell = build(Cell, event.get("cell"), where=where)
            if cell.run_id in self.cells or not _is_plain_id(cell.run_id):
                raise InputError(f"{where} begins {cell.run_id!r} twice or under a false name.")
            self.cells[cell.run_id] = cell
        elif kind == "end":
            outcome = build(Outcome, event.get("outcome"), where=where)
            if outcome.run_id not in self.cells:
                raise InputError(f"{where} ends {outcome.run_id!r}, which never began.")
            self.outcomes[outcome.run_id] = outcome
            self.attempts[outcome.run_id] = self.attempts.get(outcome.run_id, 0) + 1
        elif kind == "worked":
            seconds = event.get("seconds")
            if not isinstance(seconds, float) or not 0.0 <= seconds < math.inf:
                raise InputError(f"{where} must hold `seconds`, but got {seconds!r}.")
            self.seconds += seconds
        elif kind == "laid out":
            if not isinstance(event.get("cleared"), str) or self.cleared is not None:
                raise InputError(f"{where} must lay out the second round once, by a factor's name.")
            self.cleared = event["cleared"]
        else:
            raise InputError(f"{where} is no event of a comparison.")


def is_hopeless(directory: Path) -> bool:
    """Whether all runs that a comparison began are over, and none of them left a result.

    It only reads: somebody may be at work there. A file that no comparison wrote is not judged.
    """
    begun, ends = set(), []
    for where, line in read_lines(directory / FILE):
        event = parse_json(line, where=where)
        kind = event.get("event") if isinstance(event, dict) else None
        try:
            if kind == "begin":
                begun.add(build(Cell, event.get("cell"), where=where).run_id)
            elif kind == "end":
                ends.append(build(Outcome, event.get("outcome"), where=where))
        except InputError:
            return False
    tries = Counter(end.run_id for end in ends)
    over = {end.run_id for end in ends if _is_last(end, tries[end.run_id])}
    return len(begun) > 1 and begun == over and not any(end.is_done for end in ends)


def _is_last(outcome: Outcome, attempts: int) -> bool:
    """Whether a run has a result, or another try would hardly bring one.

    A script that ended well would do the same again. One that is ended after its time limit may
    answer with exit code 0, too.
    """
    ended_well = outcome.exit_code == 0 and outcome.problem.startswith(NO_RESULT)
    return outcome.is_done or ended_well or attempts >= MOST_ATTEMPTS


def _plain(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in Cell.__slots__}


def _is_plain_id(run_id: str) -> bool:
    stage, _, number = run_id.partition("-")
    return stage in ("attribute", "confirm") and number.isdigit()
