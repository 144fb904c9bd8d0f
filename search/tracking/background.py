"""Tracking of a search on a second thread, so that the search never waits for the store."""

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
"""Seconds between two writes; changes in between are written together."""


class BackgroundTracker:
    """A `Tracker` whose store is called by a second thread while the search runs.

    The queue holds the newest state of each trial, so it never has more entries than there are
    trials, however long the store is unreachable. It needs no file: a resumed run hands in all
    trials again from its journal.

    Args:
        tracker: Tracker that writes to the store; no other thread may call it from now on.
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
        """Failures that left the store incomplete, one line each; empty if it holds everything."""
        return self._tracker.problems

    def open_search(
        self, *, params: Mapping[str, str], tags: Mapping[str, str], dataset: DatasetInfo | None
    ) -> None:
        """Begin or resume a search in the store; see `Tracker.open_search`."""
        begin = partial(self._tracker.open_search, params=params, tags=tags, dataset=dataset)
        # A daemon thread, so that a store that hangs cannot keep the process from ending.
        self._thread = threading.Thread(
            target=self._work, args=(begin,), name="tracking", daemon=True
        )
        self._thread.start()

    def sync(self, trials: Iterable[Trial]) -> None:
        """Queue trials, so that what the store lacks of them is written soon."""
        self._raise_bug()
        with self._lock:
            for trial in trials:
                self._waiting[trial.spec.trial_id] = trial

    def trial_changed(self, trial: Trial) -> None:
        """Queue a trial that started, reported or ended."""
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
        """Stop the thread and write all that is missing, then the verdict.

        See `Tracker.close_search` for the arguments.
        """
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if status == "FINISHED":
            self._raise_bug()
        elif self._bug is not None:  # Log it only: the error that ended the search matters more.
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
        except Exception as bug:  # Raised again in the main thread, where it is not lost.
            self._bug = bug

    def _raise_bug(self) -> None:
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    def _take(self) -> Collection[Trial]:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        return taken.values()
