"""Tracks a search on a thread of its own: whoever tells of a trial never waits for the store."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.records.trials import Trial
from search.tracking.answer import Answer
from search.tracking.store import DatasetInfo
from search.tracking.tracker import Tracker
from search.verdict.schema import Verdict

if TYPE_CHECKING:
    from search.tracking.champion import Champion

_LOGGER = logging.getLogger(__name__)
EVERY_S = 0.25
"""Seconds between two looks at what is new; what comes in between goes out together."""


class BackgroundTracker:
    """A `Tracker` whose store is called by a second thread while the search runs.

    What waits for the store is the newest state of each trial, so the queue never holds more than
    the search has trials, however long the store is away. Nothing in it needs a file: the journal
    of the run has it all, and a resumed run hands it in again.

    Args:
        tracker: Does the work; no other thread may call it from now on.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._waiting: dict[str, Trial] = {}
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._bug: Exception | None = None

    @property
    def problems(self) -> list[str]:
        """What the store still lacks and why, one line each; empty if it holds everything."""
        return self._tracker.problems

    def open_search(
        self, *, params: Mapping[str, str], tags: Mapping[str, str], dataset: DatasetInfo | None
    ) -> None:
        """Begin a search, or go on with it if the store knows it; see `Tracker.open_search`."""
        begin = partial(self._tracker.open_search, params=params, tags=tags, dataset=dataset)
        # A daemon: a process that is ended for good does not wait for a store that hangs.
        self._thread = threading.Thread(
            target=self._work, args=(begin,), name="tracking", daemon=True
        )
        self._thread.start()

    def sync(self, trials: Iterable[Trial]) -> None:
        """Hand in trials; whatever the store lacks of them is written soon."""
        self._raise_bug()
        with self._lock:
            for trial in trials:
                self._waiting[trial.spec.trial_id] = trial

    def trial_changed(self, trial: Trial) -> None:
        """Hand in a trial that started, reported or ended."""
        self.sync((trial,))

    def close_search(
        self,
        status: Literal["FINISHED", "KILLED", "FAILED"],
        *,
        verdict: Verdict | None,
        artifacts: Path | None,
        champion: "Champion | None" = None,
        answer: Answer | None = None,
    ) -> None:
        """Write everything that is missing, then the verdict; see `Tracker.close_search`."""
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if status == "FINISHED":
            self._raise_bug()
        elif self._bug is not None:  # Whatever ended the search is what must be told.
            _LOGGER.error("tracking stopped early", exc_info=self._bug)
            self._bug = None
        if waiting := self._take():
            self._tracker.sync(waiting)
        self._tracker.close_search(
            status, verdict=verdict, artifacts=artifacts, champion=champion, answer=answer
        )

    def _work(self, begin: Callable[[], object]) -> None:
        try:
            begin()
            while not self._is_closing.wait(EVERY_S):
                self._tracker.sync(self._take())
        except Exception as bug:  # Raised again where the search calls: a thread dies in silence.
            self._bug = bug

    def _raise_bug(self) -> None:
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    def _take(self) -> Collection[Trial]:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        return taken.values()
