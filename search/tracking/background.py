"""Tracking of a search on a second thread, so that the search never waits for the store."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.records.passwords import without_passwords
from search.records.trials import Trial
from search.tracking.answer import Answer
from search.tracking.store import DatasetInfo
from search.tracking.tracker import Tracker
from search.verdict.schema import Verdict

if TYPE_CHECKING:
    from search.tracking.champion import Champion

_LOGGER = logging.getLogger(__name__)
_MOST_CHARACTERS = 300
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
        self._stopped_by = ""

    @property
    def problems(self) -> list[str]:
        """Failures that left the store incomplete, one line each; empty if it holds everything."""
        stopped = [f"it was switched off: {self._stopped_by}"] if self._stopped_by else []
        return [*self._tracker.problems, *stopped]

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
        waiting = self._take()
        try:
            if waiting:
                self._tracker.sync(waiting)
            self._tracker.close_search(
                status, verdict=verdict, artifacts=artifacts, champion=champion, answer=answer
            )
        except Exception as error:  # As in `_work`.
            self._switch_off(error)

    def _work(self, begin: Callable[[], object]) -> None:
        taken: Collection[Trial] = ()
        try:
            begin()
            while not self._is_closing.wait(EVERY_S):
                taken = self._take()
                self._tracker.sync(taken)
        # Whatever the error, an answer that MLflow cannot read or a bug of ours: tracking copies
        # what the journal holds, and is no reason to end a search.
        except Exception as error:
            self._switch_off(error)
            with self._lock:  # It is tried once more at the end.
                self._waiting = {t.spec.trial_id: t for t in taken} | self._waiting

    def _switch_off(self, error: Exception) -> None:
        _LOGGER.error("tracking is switched off", exc_info=error)
        said = " ".join(without_passwords(f"{type(error).__name__}: {error}").split())
        self._stopped_by = (
            f"{said[:_MOST_CHARACTERS]}. The run directory holds everything; `make resume` brings "
            "the store up to date. The log has the details."
        )

    def _take(self) -> Collection[Trial]:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        return taken.values()
