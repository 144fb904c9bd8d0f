"""A tracker on a thread of its own, with a store that a test holds up and lets go."""

import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from search.records.trials import Record, Trial, TrialSpec
from search.tracking.background import BackgroundTracker
from search.tracking.run_info import costs_of
from spaces.recipe import Recipe


def a_trial(number: int, epochs: int) -> Trial:
    spec = TrialSpec(stage="search", number=number, role="proposed", recipe=Recipe(epochs=9))
    records = tuple(
        Record(trial_id=spec.trial_id, stage="search", epoch=epoch, metrics={})
        for epoch in range(1, epochs + 1)
    )
    return Trial(spec=spec, records=records)


class Slow:
    """In place of a `Tracker`: notes what it is told, and holds each call while it may not go."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.called = threading.Event()
        self.rounds: list[dict[str, int]] = []
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.problems: list[str] = []

    def open_search(self, **said: Any) -> str:
        self.calls.append("open")
        return ""

    def sync(self, trials: Iterable[Trial]) -> None:
        told = {trial.spec.trial_id: trial.epoch for trial in trials}
        if told:
            self.rounds.append(told)
        self.threads.add(threading.current_thread().name)
        self.called.set()
        assert self.may_go.wait(timeout=30)

    def close_search(self, status: str, **said: Any) -> None:
        self.calls.append(f"close {status}")


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def tracker(slow: Slow) -> BackgroundTracker:
    tracker: Any = slow
    return BackgroundTracker(tracker)


def begin(tracker: BackgroundTracker) -> None:
    tracker.open_search(params={}, tags={}, dataset=None)


def close(tracker: BackgroundTracker) -> None:
    tracker.close_search("FINISHED", verdict=None, artifacts=None)


def test_no_report_waits_for_a_store_that_hangs_and_the_newest_state_arrives(
    tracker: BackgroundTracker, slow: Slow
) -> None:
    begin(tracker)
    tracker.trial_changed(a_trial(0, 1))
    assert slow.called.wait(timeout=30)
    started = time.monotonic()
    for epoch in range(1, 10):
        for number in range(100):
            tracker.trial_changed(a_trial(number, epoch))
    assert time.monotonic() - started < 10.0, "the store hangs for ever"
    assert len(slow.rounds) <= 1
    slow.may_go.set()
    close(tracker)
    # One entry for each trial and not for each report, however many came while the store hung.
    assert slow.rounds[-1] == {f"search-{number:04d}": 9 for number in range(100)}
    assert slow.calls == ["open", "close FINISHED"]
    assert "tracking" in slow.threads


def test_closing_tells_what_was_handed_in_last(tracker: BackgroundTracker, slow: Slow) -> None:
    slow.may_go.set()
    begin(tracker)
    tracker.trial_changed(a_trial(3, 2))
    close(tracker)
    assert slow.rounds[-1] == {"search-0003": 2}


def test_before_a_search_is_open_it_may_be_closed(tracker: BackgroundTracker, slow: Slow) -> None:
    close(tracker)
    assert slow.calls == ["close FINISHED"]


@pytest.mark.parametrize("error", [TypeError("an odd answer [/]"), RuntimeError("a bug")])
def test_an_answer_that_nobody_expects_switches_tracking_off_and_ends_no_search(
    tracker: BackgroundTracker,
    slow: Slow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def odd(trials: Iterable[Trial]) -> None:
        slow.called.set()
        raise error

    slow.may_go.set()
    monkeypatch.setattr(slow, "sync", odd)
    begin(tracker)
    tracker.trial_changed(a_trial(0, 1))
    assert slow.called.wait(timeout=30)
    tracker.trial_changed(a_trial(1, 1))
    (told,) = wait_for_problems(tracker)
    assert str(error) in told
    assert "make resume" in told
    assert "Traceback" in caplog.text
    monkeypatch.undo()
    close(tracker)
    assert slow.rounds[-1] == {"search-0000": 1, "search-0001": 1}, "tried again at the end"
    assert slow.calls == ["open", "close FINISHED"]


def test_a_store_that_answers_oddly_at_the_end_costs_no_answer(
    tracker: BackgroundTracker, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*given: object, **more: object) -> None:
        raise AttributeError("no such thing")

    slow.may_go.set()
    begin(tracker)
    monkeypatch.setattr(slow, "close_search", odd)
    close(tracker)
    assert any("AttributeError: no such thing" in told for told in tracker.problems)


def wait_for_problems(tracker: BackgroundTracker) -> list[str]:
    deadline = time.monotonic() + 30.0
    while not tracker.problems and time.monotonic() < deadline:
        time.sleep(0.01)
    return tracker.problems


def test_a_bug_on_the_thread_never_hides_how_the_search_ended(
    tracker: BackgroundTracker,
    slow: Slow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def buggy(trials: Iterable[Trial]) -> None:
        slow.called.set()
        raise TypeError("a bug")

    monkeypatch.setattr(slow, "sync", buggy)
    begin(tracker)
    assert slow.called.wait(timeout=30)
    monkeypatch.undo()
    tracker.close_search("KILLED", verdict=None, artifacts=None)
    assert slow.calls == ["open", "close KILLED"]
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        (None, True),
        ("sqlite:////srv/mlflow.db", True),
        ("http://127.0.0.1:5000", True),
        ("http://localhost:5000", True),
        (f"http://{socket.gethostname().upper()}:5000", True),
        ("http://user:hush@tracking.example:5000", False),
        ("https://192.0.2.1", False),
        ("postgresql+psycopg2://mlflow@db.example/mlflow", False),
    ],
)
def test_waiting_for_a_store_costs_only_where_it_works_on_this_machine(
    uri: str | None, here: bool
) -> None:
    costs = costs_of(uri)
    assert costs.of_successes == ("wall" if here else "computed")
    assert costs.of_failures == "computed"
