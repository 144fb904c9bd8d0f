"""One run of somebody's script: files, process, time limit, result. Executed where there is room.

A run has a directory of its own with its configuration (``config.yaml``), what it printed
(``log.txt``) and how it ended (``exit.json``). ``exit.json`` is written last and whole: a driver
that was killed meanwhile finds it and does not run the script again.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.commands.compare.asked.configurations import Configuration
from search.commands.compare.asked.measuring import MLFLOW, Measure
from search.commands.compare.asked.placeholders import command_words
from search.commands.compare.result_files import (
    NoNumberError,
    NoResultError,
    chosen,
    measured,
)
from search.records.files import write_json, write_text

EXIT = "exit.json"
LOG_FILE = "log.txt"
NO_RESULT = "it left no result: "
"""Beginning of what is said where a script ended well and its result cannot be read."""
TAIL_BYTES = 4096
GRACE_S = 5.0
"""Seconds between asking a script to end and ending it."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptRun:
    """One run to make.

    Attributes:
        run_id: Its name.
        directory: Its directory; made if missing.
        words: The command, with placeholders.
        configuration: What the script is given.
        seed: Value of ``{seed}``.
        fold: Value of ``{fold}``.
        measures: What is read when it has ended; the first one decides.
        time_limit_s: Seconds after which it is ended, or None.
        working_dir: Directory in which the command is called.
    """

    run_id: str
    directory: str
    words: tuple[str, ...]
    configuration: Configuration
    seed: int
    fold: int
    measures: tuple[Measure, ...]
    time_limit_s: float | None
    working_dir: str

    @property
    def filled(self) -> dict[str, str]:
        """Values of the placeholders."""
        return {
            "config": str(Path(self.directory, f"config{self.configuration.suffix}")),
            "seed": str(self.seed),
            "fold": str(self.fold),
            "dir": self.directory,
        }

    @property
    def command(self) -> list[str]:
        """The words that are executed."""
        return command_words(self.words, self.filled, self.configuration.arguments())


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Ending of one run.

    Attributes:
        run_id: Its name.
        exit_code: Of the process; negative for a signal; None where it could not be started.
        seconds: Wall-clock.
        metrics: What it measured, by the measure's text; all of them, or none.
        problem: Why there is no result; empty where there is one.
        is_missing: Whether the script ended well and its result is not where it was looked for: a
            mistake in what was asked, rather than a training that failed.
    """

    run_id: str
    exit_code: int | None
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    is_missing: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return not self.problem

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def execute(run: ScriptRun) -> Outcome:
    """Run the script once and read its result; never raises for what the script does."""
    directory = Path(run.directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(Path(run.filled["config"]), run.configuration.text())
    started = time.monotonic()
    exit_code, problem = _process(run, directory)
    metrics: dict[str, float] = {}
    is_missing = False
    if not problem:
        try:
            metrics = {measure.text: _read(measure, run) for measure in run.measures}
        except NoResultError as error:
            is_missing = not isinstance(error, NoNumberError)
            problem = f"{NO_RESULT}{error}"
    outcome = Outcome(
        run_id=run.run_id,
        exit_code=exit_code,
        seconds=time.monotonic() - started,
        metrics=metrics,
        problem=problem,
        is_missing=is_missing,
    )
    write_json(directory / EXIT, outcome.to_dict())
    return outcome


def _process(run: ScriptRun, directory: Path) -> tuple[int | None, str]:
    """Exit code, and in words why it is no success."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **_own_store(run, directory)}
    path = directory / LOG_FILE
    with path.open("wb") as log:
        try:
            process = subprocess.Popen(
                run.command,
                cwd=run.working_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that what it starts ends with it.
                start_new_session=True,
                preexec_fn=_end_with_parent() if sys.platform == "linux" else None,
            )
        except OSError as error:
            return None, f"`{run.command[0]}` cannot be started: {error.strerror}"
        try:
            code = process.wait(timeout=run.time_limit_s)
        except subprocess.TimeoutExpired:
            late = f"it was ended after its time limit of {run.time_limit_s:g} s (`--time-limit-s`)"
            return _end(process), late
        except BaseException:
            _end(process)
            raise
        # What a script leaves running would work against the next run.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if code == 0:
        return 0, ""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return code, f"it ended with {how}{_last_line(path)}"


def _read(measure: Measure, run: ScriptRun) -> float:
    directory = Path(run.directory)
    if measure.source != MLFLOW:
        return measured(measure, filled=run.filled, log=directory / LOG_FILE)
    from search.tracking.scripts.metric import metric_history

    values: list[Any] = list(metric_history(directory, measure.what))
    return chosen(values, measure, f"no MLflow run of the script holds `{measure.what}`")


def _own_store(run: ScriptRun, directory: Path) -> dict[str, str]:
    if all(measure.source != MLFLOW for measure in run.measures):
        return {}
    from search.tracking.scripts.metric import store_environment

    return store_environment(directory)


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a process and all that it started: ask first, then insist."""
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=patience_s)
    return process.wait()


def _end_with_parent() -> Any:
    """Return a function for the new process that has it killed when its worker dies."""
    # Loaded here: between fork and exec nothing may be imported.
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))

    return ask


def _last_line(path: Path) -> str:
    """The end of what a script printed, for one line of ours."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return f": {last[:300]}" if last else ", and printed nothing"
