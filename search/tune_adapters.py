"""Three thin adapters between Ray Tune and the conductor.

Every decision is the conductor's, and every fact lies in the journal.
"""

import errno
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow.fs import FileType
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.conductor import Conductor, Wait
from search.files import write_json
from search.passwords import without_passwords
from search.storage import is_below, location_of
from search.trials import Record, TrialSpec

log = logging.getLogger("search")


class _NotPickled:
    """Tune pickles what it is given for a restore that never happens here: give it nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ConductedSearcher(_NotPickled, Searcher):
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
        return {"spec": answer.spec.to_dict(), "checkpoint": checkpoint}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Free its place; the scheduler told the conductor, before Tune decided anything."""
        self._given.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""


class ConductedScheduler(_NotPickled, FIFOScheduler):
    """Asks the conductor after each epoch whether a trial goes on.

    Args:
        conductor: Decides.
        run_dir: Where predictions on the test images are kept.
        num_own_workers: Asked once for the number of workers on a cluster that is the run's own,
            where they stay until it ends; None on a shared cluster, where all but one go whenever
            there is nothing to do for them.
    """

    def __init__(
        self,
        conductor: Conductor,
        run_dir: Path,
        *,
        num_own_workers: Callable[[], int] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._conductor = conductor
        self._predictions = run_dir / "predictions"
        self._num_own_workers = num_own_workers
        self._keeps_workers = False

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """With the first trial, tell Tune to keep as many idle workers as there may be.

        It would end all but one at each end of a batch, when the last trials of it still run, and a
        new worker imports torch for seconds.
        """
        if self._num_own_workers is not None and not self._keeps_workers:
            self._keeps_workers = True
            # No setting reaches the cache, and a scheduler sees the controller through a wrapper.
            idle = tune_controller._tune_controller._actor_cache
            idle.increase_max(trial.placement_group_factory, by=self._num_own_workers())

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The pending trial that takes over a worker that is free; None to leave the free ones.

        FIFO's is the first one, looked for among all that ever were, though a worker may be
        starting for it on another node. Tune would end that worker, seconds of imports old, so that
        with short trials a node that joined never came to work.
        """
        controller = tune_controller._tune_controller
        waiting = [
            trial
            for trial in controller.get_live_trials()
            if trial.status == Trial.PENDING and not _has_place(controller, trial)
        ]
        return min(waiting, key=lambda trial: trial.config["spec"]["number"], default=None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Journal the epoch and answer CONTINUE or STOP, also at full length."""
        spec = TrialSpec.from_dict(trial.config["spec"])
        prefix = "metrics/"  # Tune flattens what a trial reports.
        metrics = {
            sys.intern(k.removeprefix(prefix)): v for k, v in result.items() if k.startswith(prefix)
        }
        record = Record(
            trial_id=spec.trial_id,
            stage=spec.stage,
            epoch=result["epoch"],
            metrics=metrics,
            time=time.time(),
        )
        if result.get("node"):
            self._conductor.place(spec.trial_id, node=result["node"], host=result["hostname"])
        go_on: str = TrialScheduler.CONTINUE
        stop: str = TrialScheduler.STOP
        by_image = {key: result.get(f"by_image/{key}") for key in ("correct", "nll")}
        if by_image["nll"]:
            # Before the record: what a record stands for must be there when it is read.
            self._predictions.mkdir(exist_ok=True)
            write_json(self._predictions / f"{spec.trial_id}.json", by_image)
        return go_on if self._conductor.report(record) else stop

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note a trial that failed more often than it may; Tune starts the others again itself.

        Raises:
            OSError: If it failed because a disk is full: so would all others.
        """
        if trial.should_recover():
            return
        trial_id = TrialSpec.from_dict(trial.config["spec"]).trial_id
        lines = Path(trial.error_file).read_text().splitlines() if trial.error_file else []
        log.error("%s failed for good:\n%s", trial_id, "\n".join(lines))
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if os.strerror(errno.ENOSPC) in last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"the checkpoint of {trial_id}")
        self._conductor.failed(trial_id, last or "the worker died without a message")


def _has_place(controller: Any, trial: Any) -> bool:
    """Whether a worker is starting for a trial, rather than waiting for a node that has room."""
    worker = controller._trial_to_actor.get(trial)
    return worker is not None and controller._actor_manager.is_actor_started(worker)


def _forget(trial: Any) -> None:
    """Drop what Tune keeps of a trial that is over, most of what a trial takes in memory.

    Tune holds its trials to the end, each with statistics of all that it reported, for analyses and
    restores that never happen here.
    """
    kept = trial.run_metadata
    kept.metric_analysis, kept.metric_n_steps = {}, {}
    kept.last_result = {"done": True}  # Were it empty, Tune would ask the worker for one.
    trial._default_result_or_future = None  # An object of Ray's.
    trial.evaluated_params = {}


class CheckpointNotes(_NotPickled, tune.Callback):
    """Tells the conductor where each trial's newest checkpoint lies."""

    def __init__(self, conductor: Conductor, storage: str) -> None:
        self._conductor = conductor
        self._storage = storage
        self._deleted: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Have the trial keep its newest checkpoint only.

        Asked for all trials at once, Tune would answer each checkpoint of a trial by writing and
        copying its own state of all trials, those that are over included.
        """
        trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep = 1

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        """Journal the location of a checkpoint that is completely written."""
        spec = TrialSpec.from_dict(trial.config["spec"])
        # Tune tells the path without the file system that it is a path on.
        location = location_of(self._storage, trial.storage.storage_fs_path, checkpoint.path)
        self._conductor.checkpoint(spec.trial_id, location)
        self._delete_earlier(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget a trial that is over and delete its checkpoints: thousands of them fill a disk."""
        _forget(trial)
        if trial.config["spec"]["keep_weights"]:
            return
        self._delete_earlier(trial)
        if trial.checkpoint:
            trial.storage.storage_filesystem.delete_dir(trial.storage.trial_fs_path)

    def _delete_earlier(self, trial: Any) -> None:
        """Delete what an earlier session left of a trial, once it is gone on from."""
        location = trial.config["checkpoint"]
        if location is None or location in self._deleted:
            return
        self._deleted.add(location)
        saved = tune.Checkpoint(location)
        files, folder = saved.filesystem, str(PurePosixPath(saved.path).parent)
        if files and files.get_file_info(folder).type != FileType.NotFound:
            files.delete_dir(folder)
