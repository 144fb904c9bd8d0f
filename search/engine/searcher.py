"""A searcher for Ray Tune that supplies the conductor's trials, and a record of checkpoints.

The conductor makes all decisions, and the journal holds all state.
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
from search.engine.storage import (
    delete_file,
    delete_folder,
    is_below,
    lent_weights,
    location_of,
    parent_of,
)
from search.records.metrics import METRICS
from search.records.passwords import without_passwords
from search.records.trials import TrialSpec
from trainable.run_spec import Soup

log = logging.getLogger("search")


class NotPickled:
    """A mixin that is pickled without state, as Tune pickles objects for restores we never do."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ConductedSearcher(NotPickled, Searcher):
    """A searcher that supplies the conductor's trials to Tune.

    Args:
        conductor: The conductor.
        num_places: Function that returns how many trials may be started at once.
        storage: Place of the checkpoints. Checkpoints elsewhere are not loaded, as the journal of
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
        """Return the configuration of the next trial, None to be asked again, or ``FINISHED``."""
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
        spec = answer.spec
        to = lent_weights(self._storage, spec.trial_id) if spec.lends_weights else None
        return config_of(answer, checkpoint=checkpoint, weights_to=to, soup=self._soup(spec))

    def _soup(self, spec: TrialSpec) -> Soup | None:
        """Say where the weights lie that a trial averages; a diverged trial has none.

        None if another trial has none, for a soup without it would be that of other recipes.
        """
        metric = METRICS[spec.soup_metric]
        found = self._conductor.full_length(spec.soup_of)
        others = [name for name in spec.soup_of if name not in found]
        if not found or not all(map(self._conductor.has_diverged, others)):
            return None
        return Soup(
            locations={name: lent_weights(self._storage, name) for name in found},
            scores={
                name: metric.sign * trial.records[-1].metrics[metric.on("val")]
                for name, trial in found.items()
            },
            metric=metric.name,
            sign=metric.sign,
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Free the place of an ended trial; the scheduler has told the conductor already."""
        self._given.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal holds all state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal holds all state."""


class CheckpointNotes(NotPickled, tune.Callback):
    """A callback that records the location of each trial's newest checkpoint."""

    def __init__(self, conductor: Conductor, storage: str) -> None:
        self._conductor = conductor
        self._storage = storage
        self._deleted: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Make Tune keep only the newest checkpoint of the trial."""
        keep_newest_checkpoint(trial)

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        """Record the location of a checkpoint that is completely written."""
        location = location_of(self._storage, storage_path_of(trial), checkpoint.path)
        self._conductor.checkpoint(trial_id_of(trial), location)
        self._delete_earlier(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free the memory of an ended trial and delete its checkpoints, which would fill a disk."""
        forget_results(trial)
        for name in self._conductor.trial(trial_id_of(trial)).spec.soup_of:
            self._delete_lent(name)
        if self._conductor.trial(trial_id_of(trial)).spec.keep_weights:
            return
        self._delete_earlier(trial)
        if trial.checkpoint:
            delete_files_of(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Do the same where a trial is over because its worker was ended on purpose."""
        if self._conductor.trial(trial_id_of(trial)).status == "stopped":
            self.on_trial_complete(iteration, trials, trial)

    def _delete_lent(self, name: str) -> None:
        try:
            delete_file(lent_weights(self._storage, name))
        except OSError as error:  # The end of the search deletes the whole folder.
            log.warning("the weights of %s were not deleted: %s", name, error)

    def _delete_earlier(self, trial: Any) -> None:
        """Delete a trial's checkpoints of an earlier session once a newer one exists."""
        location = location_gone_on_from(trial)
        if location is None or location in self._deleted:
            return
        self._deleted.add(location)
        delete_folder(parent_of(location))
