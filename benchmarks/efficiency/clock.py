"""A clock on which searches are replayed, and what it asks of them."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.efficiency.table import METRICS
from spaces.strengths.values import Strengths

METRIC = "val/nll_refined"
"""Metric that every search minimises."""
NUM_WORKERS = 2


class Search(Protocol):
    """One search, seen from the clock."""

    def start(self) -> tuple[str, Strengths] | None:
        """Return the next trial, or None if there is none to start now."""

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Take in an epoch of a trial and say whether it goes on."""

    def pick(self) -> Strengths:
        """Return the strengths that the search would choose if it ended now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picked:
    """The choice of a search if it ended at a given time.

    Attributes:
        time: Time on the clock, in epochs.
        epochs: Epochs trained so far by all workers.
        strengths: The chosen strengths.
    """

    time: float
    epochs: int
    strengths: Strengths


def replay(
    search: Search,
    observed: Callable[[Strengths, int], NDArray[np.float64]],
    *,
    epochs: int,
    ask_at: tuple[float, ...] = (),
) -> list[Picked]:
    """Run a search on a clock on which an epoch takes a second and everything else nothing.

    Args:
        search: What decides.
        observed: Metrics after each epoch, ``[epochs, 3]``, of a recipe and the trial's number.
        epochs: Full length of a trial.
        ask_at: Times at which the pick is asked for; the replay ends after the last. Without any
            it ends with the search, and the pick is asked for then.
    """
    running: list[tuple[float, int, int, str]] = []
    curves: list[NDArray[np.float64]] = []
    picks: list[Picked] = []
    now, trained = 0.0, 0
    while True:
        while len(running) < NUM_WORKERS and (started := search.start()):
            trial_id, strengths = started
            curves.append(observed(strengths, len(curves)))
            heapq.heappush(running, (now + 1.0, len(curves) - 1, 1, trial_id))
        for time in ask_at[len(picks) :]:
            if not running or running[0][0] > time:
                picks.append(Picked(time=time, epochs=trained, strengths=search.pick()))
            else:
                break
        if not running or (ask_at and len(picks) == len(ask_at)):
            break
        now, number, epoch, trial_id = heapq.heappop(running)
        trained += 1
        metrics = dict(zip((f"val/{m}" for m in METRICS), curves[number][epoch - 1], strict=True))
        if search.report(trial_id, epoch, metrics) and epoch < epochs:
            heapq.heappush(running, (now + 1.0, number, epoch + 1, trial_id))
    if not ask_at:
        picks.append(Picked(time=now, epochs=trained, strengths=search.pick()))
    return picks


class BestLast:
    """Starts trials for ever; picks the best last value, as Ray's ``get_best_result`` does.

    Args:
        propose: Draws the strengths of a new trial.
    """

    def __init__(self, propose: Callable[[str], Strengths]) -> None:
        self._propose = propose
        self._strengths: dict[str, Strengths] = {}
        self._last: dict[str, float] = {}

    def start(self) -> tuple[str, Strengths] | None:
        """The next trial; there always is one."""
        trial_id = f"trial-{len(self._strengths)}"
        self._strengths[trial_id] = self._propose(trial_id)
        return trial_id, self._strengths[trial_id]

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Keep the newest value; never stop."""
        self._last[trial_id] = metrics[METRIC]
        return True

    def pick(self) -> Strengths:
        """The trial with the best last value, however early it was stopped."""
        return self._strengths[min(self._last, key=self._last.__getitem__)]
