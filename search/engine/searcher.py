"""Hands the conductor's trials to Ray Tune and notes where their checkpoints lie.

Every decision is the conductor's, and every fact lies in the journal.
"""

import logging
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from search.engine.border import config_of, location_gone_on_from, trial_id_of
from search.engine.conductor import Conductor, Wait
from search.engine.ray_private import (
    delete_files_of,
    forget_results,
    keep_newest_checkpoint,
    storage_path_of,
)
from search.engine.storage import delete_folder, is_below, location_of, parent_of
from search.records.passwords import without_passwords

log = logging.getLogger("search")


class NotPickled:
    """Tune pickles what it is given for a restore that never happens here: give it nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ConductedSearcher(NotPickled, Searcher):
    """Hands the conductor's trials to Tune.

    Args:
        conductor: Has the trials.
        num_places: Asked before each trial how many may be given out at once.
        storage: Where checkpoints lie; one that lies elsewhere is not gone on from. The journal of
            a run that somebody else made may name any address.
    """

    def __init__(
        self, conductor: Conductor, num_places: Callable[[], int], *, storage: str
    ) -> None:
        super().__init__()
        self._storage = storage
        self._conductor = conductor
        self._num_places = num_places
        self._given: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial, None to be asked again, or ``FINISHED``."""
        if len(self._given) >= self._num_places():
            return None
        answer = self._conductor.next_trial()
        if answer is Wait.NO_MORE:
            return Searcher.FINISHED
        if isinstance(answer, Wait):
            return None
        self._given.add(trial_id)
        checkpoint = answer.checkpoint
        if checkpoint is not None and not is_below(self._storage, checkpoint):
            log.warning(
                "%s starts again from its first epoch: its checkpoint does not lie below %s.",
                answer.spec.trial_id,
                without_passwords(self._storage),
            )
            checkpoint = None
        return config_of(answer, checkpoint=checkpoint)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Free its place; the scheduler told the conductor, before Tune decided anything."""
        self._given.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""


class CheckpointNotes(NotPickled, tune.Callback):
    """Tells the conductor where each trial's newest checkpoint lies."""

    def __init__(self, conductor: Conductor, storage: str) -> None:
        self._conductor = conductor
        self._storage = storage
        self._deleted: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Have the trial keep its newest checkpoint only."""
        keep_newest_checkpoint(trial)

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        """Journal the location of a checkpoint that is completely written."""
        location = location_of(self._storage, storage_path_of(trial), checkpoint.path)
        self._conductor.checkpoint(trial_id_of(trial), location)
        self._delete_earlier(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget a trial that is over and delete its checkpoints: thousands of them fill a disk."""
        forget_results(trial)
        if self._conductor.trial(trial_id_of(trial)).spec.keep_weights:
            return
        self._delete_earlier(trial)
        if trial.checkpoint:
            delete_files_of(trial)

    def _delete_earlier(self, trial: Any) -> None:
        """Delete what an earlier session left of a trial, once it is gone on from."""
        location = location_gone_on_from(trial)
        if location is None or location in self._deleted:
            return
        self._deleted.add(location)
        delete_folder(parent_of(location))
