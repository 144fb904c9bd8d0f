"""Limits on the time that tracking takes from a search, and pauses for a broken store."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from search.records.passwords import without_passwords

Result = TypeVar("Result")

_LOGGER = logging.getLogger(__name__)
_MAX_CHARACTERS = 300
_MOST_NAMED = 5
_IN_VAIN = 3.0
"""Factor by which the time of failed calls counts.

A server that hangs is called at the beginning and at the end in any case, which must fit into the
share of a search of five minutes.
"""


class PlainProblem(RuntimeError):  # noqa: N818  Named for the message to the user.
    """A failure whose message is complete for the user and is shown unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Rule for the cost of a call to the store: its duration, or its computing time only.

    Attributes:
        of_failures: ``wall`` if the search waits for a call, so that a failed one costs its
            duration; ``computed`` if calls are made on a second thread.
        of_successes: ``wall`` also if the store runs on this machine, as it then takes cores from
            trials.
        computed_s: Function that returns the computing time of the calling thread in seconds.
    """

    of_failures: Literal["wall", "computed"] = "wall"
    of_successes: Literal["wall", "computed"] = "wall"
    computed_s: Callable[[], float] = time.thread_time


class Patience:
    """A runner of tracking calls that catches failures and limits their cost.

    Any call may be postponed: the journal of the search has all data, so a later call catches up.

    Args:
        failures: Exceptions of tracking calls that are caught.
        share: Share of the wall-clock time that calls may cost; failed calls count `_IN_VAIN`
            times.
        grace_s: Seconds that they may cost in addition, so that a search shows from the start.
        pause_s: Seconds without calls after `failures_in_row` failures in a row.
        failures_in_row: Number of failures in a row that start a pause.
        clock: Function that returns monotonic time in seconds.
        costs: Rule for the cost of a call.
    """

    def __init__(
        self,
        failures: tuple[type[Exception], ...],
        *,
        share: float = 0.02,
        grace_s: float = 3.0,
        pause_s: float = 60.0,
        failures_in_row: int = 3,
        clock: Callable[[], float] = time.monotonic,
        costs: Costs | None = None,
    ) -> None:
        self._failures = failures
        self._share = share
        self._grace_s = grace_s
        self._pause_s = pause_s
        self._failures_in_row = failures_in_row
        self._clock = clock
        self._costs = costs or Costs()
        self._started = clock()
        self._spent_s = 0.0
        self._in_row = 0
        self._paused_until = self._started
        self._problems: dict[str, str] = {}
        self._has_warned = False

    @property
    def problems(self) -> list[str]:
        """Failures that no later success has made up for, one line for each cause."""
        by_cause: dict[str, list[str]] = {}
        for what, cause in self._problems.items():
            by_cause.setdefault(cause, []).append(what)
        return [f"could not {_listed(what)}: {cause}" for cause, what in by_cause.items()]

    @property
    def is_due(self) -> bool:
        """Whether a call may be made now: no pause, and the calls so far cost less than allowed."""
        now = self._clock()
        allowed = self._grace_s + self._share * (now - self._started)
        return now >= self._paused_until and self._spent_s <= allowed

    @property
    def is_paused(self) -> bool:
        """Whether calls are paused after repeated failures."""
        return self._clock() < self._paused_until

    def attempt(
        self, what: str, call: Callable[[], Result], *, free: bool = False
    ) -> Result | None:
        """Run ``call`` and return its result, or record its failure and return None.

        Args:
            what: Purpose of the call, in words that follow "could not"; a later success under the
                same words clears the failure.
            call: The call. Exceptions other than `failures` are bugs and pass through.
            free: Whether the time of a successful call does not count.
        """
        started, computed = self._clock(), self._costs.computed_s()
        try:
            result = call()
        except self._failures as error:
            waits = self._costs.of_failures == "wall"
            lasted = self._lasted(started, computed, counts_waiting=waits)
            self._spent_s += _IN_VAIN * lasted if waits else lasted
            self._note(what, error)
            return None
        if not free:
            waits = self._costs.of_successes == "wall"
            self._spent_s += self._lasted(started, computed, counts_waiting=waits)
        self._in_row = 0
        self.solved(what)
        return result

    def solved(self, what: str) -> None:
        """Clear the failure recorded under ``what``."""
        self._problems.pop(what, None)

    def last_chance(self) -> None:
        """End a pause because the search ends; a failing store gets one more call."""
        self._paused_until = self._clock()
        self._in_row = self._failures_in_row - 1 if self._in_row else 0

    def _lasted(self, started: float, computed: float, *, counts_waiting: bool) -> float:
        if counts_waiting:
            return self._clock() - started
        return self._costs.computed_s() - computed

    def _note(self, what: str, error: Exception) -> None:
        if isinstance(error, PlainProblem):
            cause = without_passwords(str(error))
        else:
            said = without_passwords(f"{type(error).__name__}: {error}")
            cause = " ".join(said.split())[:_MAX_CHARACTERS]
        if not self._has_warned:
            _LOGGER.warning(
                "MLflow could not %s (%s). The search goes on and catches up later; "
                "its run directory holds everything.",
                what,
                cause,
            )
            self._has_warned = True
        self._problems[what] = cause
        self._in_row += 1
        if self._in_row >= self._failures_in_row:
            self._paused_until = self._clock() + self._pause_s


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
