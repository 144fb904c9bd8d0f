"""How much time tracking takes, on a clock that the test turns."""

import logging
from typing import Literal

import pytest

from search.tracking.patience import Costs, Patience, PlainProblem


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(clock: Clock, seconds: float) -> None:
    clock.now += seconds
    raise OSError("no route\nto host")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience((OSError,), share=0.02, grace_s=3.0, pause_s=60.0, clock=clock)


@pytest.mark.parametrize("call_s", [0.001, 0.1, 5.0])
@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("report_s", [0.01, 1.0, 10.0])
def test_calls_take_their_share_of_the_time_and_no_more(
    patience: Patience, clock: Clock, call_s: float, works: bool, report_s: float
) -> None:
    spent, calls = 0.0, 0
    while clock.now < 3600.0:
        clock.now += report_s
        if not patience.is_due:
            continue
        if works:
            patience.attempt("log", lambda: setattr(clock, "now", clock.now + call_s))
        else:
            patience.attempt("log", lambda: fail(clock, call_s))
        spent, calls = spent + call_s, calls + 1
    assert calls >= 3
    # What is paid for nothing may take a third.
    assert spent <= (3.0 + 0.02 * clock.now) / (1 if works else 3) + call_s


def test_three_failures_in_a_row_end_in_a_pause_of_a_minute(
    patience: Patience, clock: Clock
) -> None:
    for count in (1, 2):
        patience.attempt("log", lambda: fail(clock, 0.0))
        assert patience.is_due, count
    patience.attempt("log", lambda: "fine")
    for _ in range(3):
        assert patience.is_due
        patience.attempt("log", lambda: fail(clock, 0.0))
    assert patience.is_paused
    clock.now += 59.0
    assert not patience.is_due
    clock.now += 1.0
    assert patience.is_due


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_the_last_chance_is_one_try_for_a_store_that_was_failing(
    patience: Patience, clock: Clock, failures: int
) -> None:
    for _ in range(failures):
        patience.attempt("log", lambda: fail(clock, 0.0))
    patience.last_chance()
    assert not patience.is_paused
    patience.attempt("log", lambda: fail(clock, 0.0))
    assert patience.is_paused == (failures > 0)


def test_the_first_failure_warns_and_all_are_problems_until_they_are_solved(
    patience: Patience, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for what in ("log a", "log b", "log a"):
            assert patience.attempt(what, lambda: fail(clock, 0.0)) is None
    assert len(caplog.records) == 1
    assert "could not log a (OSError: no route to host)" in caplog.text
    assert patience.problems == ["could not log a, log b: OSError: no route to host"]
    assert patience.attempt("log a", lambda: 7) == 7
    assert patience.problems == ["could not log b: OSError: no route to host"]


def test_many_failures_of_one_cause_are_one_line_and_each_cause_has_its_own(
    patience: Patience,
) -> None:
    def refuse(error: OSError) -> None:
        raise error

    for number in range(7):
        patience.attempt(f"log {number}", lambda: refuse(OSError("no route")))
    patience.attempt("end", lambda: refuse(OSError("no room")))
    assert patience.problems == [
        "could not log 0, log 1, log 2, log 3, log 4 and 2 more: OSError: no route",
        "could not end: OSError: no room",
    ]


def test_what_is_written_for_people_is_told_as_it_is() -> None:
    def refuse() -> None:
        raise PlainProblem("type:  " + "x" * 1000)

    patience = Patience((PlainProblem,))
    patience.attempt("log", refuse)
    assert patience.problems == ["could not log: type:  " + "x" * 1000]


def test_time_that_is_free_does_not_count_unless_it_was_in_vain(
    patience: Patience, clock: Clock
) -> None:
    patience.attempt("open", lambda: setattr(clock, "now", 4.0), free=True)
    assert patience.is_due
    patience.attempt("open", lambda: fail(clock, 4.0), free=True)
    assert not patience.is_due


def test_what_is_no_failure_passes_through(patience: Patience) -> None:
    with pytest.raises(ZeroDivisionError, match="by zero"):
        patience.attempt("divide", lambda: 1 // 0)


@pytest.mark.parametrize("of_failures", ["wall", "computed"])
@pytest.mark.parametrize("of_successes", ["wall", "computed"])
@pytest.mark.parametrize("works", [True, False])
def test_a_call_costs_what_it_lasts_or_what_it_computes(
    clock: Clock,
    of_failures: Literal["wall", "computed"],
    of_successes: Literal["wall", "computed"],
    works: bool,
) -> None:
    computed = Clock()
    costs = Costs(of_failures=of_failures, of_successes=of_successes, computed_s=computed)
    patience = Patience((OSError,), share=0.0, grace_s=3.0, clock=clock, costs=costs)

    def call() -> None:
        computed.now += 2.0
        clock.now += 5.0
        if not works:
            raise OSError("no route to host")

    patience.attempt("log", call)
    one_lasts = (of_successes if works else of_failures) == "wall"
    assert patience.is_due == (not one_lasts), "5 seconds are more than 3, 2 are not"
    patience.attempt("log", call)
    assert not patience.is_due
