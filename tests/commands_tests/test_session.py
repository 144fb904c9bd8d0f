"""How a run may be ended from outside, and that what it talks through may go away under it."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.table import Table

from search.cli import main
from search.commands import pipeline
from search.commands.console import _Output, make_console, say
from search.commands.session import interruptible
from search.engine import run as tune_run
from search.records.files import only_driver
from spaces.errors import InputError
from tests.support import finished_run
from tests.support.toy_training import write_run
from trainable.data.image_cache import load_images
from trainable.data.image_sources import ArraySource

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def a_terminal() -> Iterator[None]:
    """Tests may run under nohup, where SIGHUP is ignored; these are about runs that are not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ENDS)
def test_every_way_to_end_a_run_interrupts_it_and_is_given_back(number: signal.Signals) -> None:
    before = {end: signal.getsignal(end) for end in ENDS}
    with interruptible():
        assert all(signal.getsignal(end) != before[end] for end in ENDS)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert {end: signal.getsignal(end) for end in ENDS} == before


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ENDS)
def test_once_more_is_told_while_a_run_closes_and_twice_leaves(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with interruptible() as interruption:
        interruption.closes("Interrupted. Go on with: make resume RUN=r1")
        interruption.closes()  # Later steps do not know the line.
        os.kill(os.getpid(), number)
        said = capfd.readouterr().err
        assert "Closing what is open" in said
        assert len(said.splitlines()) == 1
        assert left == []
        os.kill(os.getpid(), number)
    assert left == [130]
    assert capfd.readouterr().err.startswith("Interrupted. Go on with: make resume RUN=r1\n")


@pytest.mark.parametrize("number", ENDS)
def test_the_process_of_somebody_else_is_never_left(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("The kernel was ended."))
    with interruptible(may_leave=False) as interruption:
        interruption.closes("Interrupted.")
        for _ in range(4):
            os.kill(os.getpid(), number)
    assert (
        capfd.readouterr().err.splitlines()
        == ["Closing what is open, which takes some seconds."] * 4
    )


def test_signals_are_left_alone_outside_of_the_main_thread() -> None:
    before = {end: signal.getsignal(end) for end in ENDS}
    seen: list[bool] = []

    def work() -> None:
        with interruptible():
            seen.append({end: signal.getsignal(end) for end in ENDS} == before)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


class Tracker:
    """A store that is told how a run ended, while somebody is impatient."""

    problems: tuple[str, ...] = ()

    def __init__(self, during: Callable[[], None]) -> None:
        self.closed: list[str] = []
        self._during = during

    def sync(self, trials: object) -> None:
        pass

    def close_search(self, status: str, **more: object) -> None:
        self._during()
        self.closed.append(status)


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_an_interrupted_run_is_closed_and_says_how_to_go_on(
    first: signal.Signals,
    second: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever ends it, and whatever comes once more while it closes."""
    run = write_run(tmp_path / "runs")
    (run / "verdict.json").unlink()
    stopped: list[bool] = []
    tracker = Tracker(lambda: os.kill(os.getpid(), second))
    dataset = SimpleNamespace(digest=finished_run.a_plan().data.digest)
    monkeypatch.setattr(pipeline, "load_images", lambda *given, **more: dataset)
    monkeypatch.setattr(pipeline, "make_tracker", lambda *given, **more: tracker)
    monkeypatch.setattr(pipeline, "open_search", lambda *given, **more: None)
    monkeypatch.setattr(pipeline, "_train", lambda job, session: os.kill(os.getpid(), first))
    monkeypatch.setattr(tune_run, "stop_ray", lambda *, keeps_logs: stopped.append(keeps_logs))
    assert main(["resume", "--run", str(run)]) == 130
    assert tracker.closed == ["KILLED"]
    assert stopped == [False]
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("Interrupted. Go on with: ")
    assert f"RUN={run}" in line
    assert line in (run / "log.txt").read_text()


def test_a_run_goes_on_where_nobody_reads_what_it_prints(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as pipe:
        output = _Output(pipe)
        for _ in range(3):
            output.write("x" * 100_000)
            output.flush()
        assert output.isatty() is False
    assert caplog.text.count("nothing more is printed: Broken pipe") == 1


@pytest.mark.parametrize("text", ["[/]", "[red]", "a [bold b", "C:\\[x]", ":cat:"])
def test_brackets_in_what_is_told_are_no_markup(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console = make_console()
    table = Table(text, title=text)
    table.add_row(text)
    say(console, text)
    console.print(text, style="yellow")
    console.print(table)
    assert capsys.readouterr().out.count(text) == 5


# File systems without locks.


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_line_with_the_way_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refuses(file: object, how: int) -> None:
        raise OSError(number, os.strerror(number))

    run = write_run(tmp_path / "runs")
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    monkeypatch.setattr("fcntl.flock", refuses)
    assert main(["resume", "--run", str(run)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "give a --run-dir on another one" in said
    assert {path: path.read_bytes() for path in before} == before
    source = ArraySource(np.zeros((4, 9, 9), np.uint8))
    with pytest.raises(InputError, match="give a --data-dir on another one"):
        load_images(source, image_size=8, cache_dir=tmp_path / "cache")


def test_another_refusal_of_a_lock_is_no_missing_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(file: object, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", fails)
    with pytest.raises(OSError, match="Input/output error"), only_driver(tmp_path):
        pass
