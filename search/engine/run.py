"""Execution of a run on Ray Tune, and start and end of its cluster.

Tune starts actors, retries trials whose worker died and moves checkpoints; the conductor makes all
decisions, and the journal holds all state. Tune's own experiment state is never restored: after a
crash a new Tune run resumes from the journal.
"""

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import TuneError

from search.engine import cluster, ray_private
from search.engine.border import trial_id_of
from search.engine.cluster_watch import ClusterWatch
from search.engine.conductor import Conductor
from search.engine.scheduler import ConductedScheduler
from search.engine.searcher import CheckpointNotes, ConductedSearcher, NotPickled
from search.engine.session_place import SessionPlace, make_session_place
from search.engine.silence import Silence
from trainable.accelerator import device_for
from trainable.data.datasets import Dataset
from trainable.ray_trainable import RecipeTrainable

log = logging.getLogger("search")

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # records.jsonl has all results.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is never read back.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # We handle Ctrl-C: close files, print how to resume.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # log.txt has the errors of trials that failed for good.
    "RAY_AIR_NEW_OUTPUT": "0",
}
_MOST_PLACES = 10_000
"""Tune's own limit on concurrent trials, never reached: `_Places` limits them."""
_COUNTED_EVERY_S = 5.0
_sessions: list[SessionPlace] = []
"""Temporary directories of the cluster that this process started, if any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Resources of one trial, and the cluster and storage of the run.

    Attributes:
        cpus_per_trial: CPU cores, at least 1; rounded down, also the number of its compute threads.
        gpus_per_trial: Share of a GPU, 0 for none.
        ray_address: Address of a running cluster, or None to start one on this machine.
        storage: Directory or URI of the trials' checkpoints; every node must reach it.
        max_failures: Number of times that a trial whose worker died is started again.
        checkpoint_every_s: Seconds of training between checkpoints of a trial.
        hang_timeout_s: Seconds after which a silent worker counts as hung; None for
            `search.engine.silence`'s own.
        run_s: Expected seconds of the whole run, or None if unknown.
    """

    cpus_per_trial: float
    gpus_per_trial: float
    ray_address: str | None
    storage: str
    max_failures: int = 2
    checkpoint_every_s: float = 20.0
    hang_timeout_s: float | None = None
    run_s: float | None = None


class Looks(NotPickled, tune.Callback):
    """Calls the scheduler between reports, about ten times a second."""

    def __init__(self, scheduler: ConductedScheduler) -> None:
        self._scheduler = scheduler

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Call the scheduler, at each round of Tune's loop."""
        self._scheduler.look()


def run(
    conductor: Conductor,
    *,
    dataset: Dataset,
    resources: Resources,
    run_dir: Path,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Train all trials of a conductor on Ray Tune.

    Args:
        conductor: Conductor that decides which trials are trained and for how long.
        dataset: Dataset, put into the object store once; trials map it without a copy.
        resources: Resources of a trial.
        run_dir: Directory of the run, for the predictions on each test image.
        say: Function that prints a line for the user, of what takes longer than it should.

    Raises:
        ClusterLost: If the cluster is lost.
        OSError: If a file could not be written, as on a full disk.
        RuntimeError: If Tune ends while the conductor still has trials.
    """
    trainable = tune.with_resources(
        tune.with_parameters(
            RecipeTrainable,
            dataset=dataset,
            device=device_for(resources.gpus_per_trial),
            num_threads=max(1, int(resources.cpus_per_trial)),
            checkpoint_every_s=resources.checkpoint_every_s,
        ),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    places = _Places(resources)
    scheduler = ConductedScheduler(
        conductor,
        run_dir,
        num_own_workers=None if resources.ray_address else places,
        silence=Silence(timeout_s=resources.hang_timeout_s, run_s=resources.run_s),
        say=say,
    )
    ray_private.keep_keys_at_home()
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ConductedSearcher(conductor, places, storage=resources.storage),
            scheduler=scheduler,
            num_samples=-1,
            # With a limit Tune starts workers in parallel, without one it waits for each before
            # it starts the next.
            max_concurrent_trials=_MOST_PLACES,
            reuse_actors=True,
            trial_name_creator=trial_id_of,
            trial_dirname_creator=trial_id_of,
        ),
        run_config=tune.RunConfig(
            # A new name for each session, so that a checkpoint of an earlier session is never
            # overwritten while a trial may have to resume from it. The time may come twice, as
            # clocks are set back.
            name=f"{time.strftime('session-%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}",
            storage_path=resources.storage,
            verbose=0,
            # Only so that Tune makes none for a notebook, which would clear the cell's output.
            progress_reporter=tune.CLIReporter(),
            callbacks=[CheckpointNotes(conductor, resources.storage), Looks(scheduler)],
            failure_config=tune.FailureConfig(max_failures=resources.max_failures),
            # Trials save checkpoints by themselves; none is needed at the end. `CheckpointNotes`
            # sets the number that each trial keeps.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    # The head of a shared cluster may be restarting; that of our own does not come back.
    logs = _sessions[-1].logs if _sessions else None
    patience_s = 45.0 if resources.ray_address else 3.0
    with ClusterWatch(run_dir, logs=logs, patience_s=patience_s):
        try:
            tuner.fit()
        except TuneError as error:
            refused = _os_error(error)
            raise refused or error from None
    if not conductor.is_over:
        raise RuntimeError("Ray Tune ended before the last stage was over.")


def start_ray(resources: Resources) -> float:
    """Connect to the cluster, or start one on this machine that ends with this process.

    Returns:
        Number of CPU cores for trials.
    """
    for name, value in _TUNE_SETTINGS.items():
        os.environ.setdefault(name, value)
    sigterm = signal.getsignal(signal.SIGTERM)
    if resources.ray_address:
        cluster.connect(resources.ray_address)
    else:
        place = make_session_place()
        _sessions.append(place)
        ray_private.start_cluster(place.given)
    if threading.current_thread() is threading.main_thread():
        # Ray installs a handler that ends without a message, in this thread only.
        signal.signal(signal.SIGTERM, sigterm)
    return float(ray.cluster_resources().get("CPU", 0.0))  # type: ignore[no-untyped-call]


def stop_ray(*, keeps_logs: bool = False) -> None:
    """Disconnect from the cluster, or end the one that `start_ray` started and delete its files.

    Args:
        keeps_logs: Whether to keep Ray's own logs, a megabyte per run, in its temporary
            directory.
    """
    ray.shutdown()
    while _sessions:
        place = _sessions.pop()
        if keeps_logs:
            log.warning("Ray's own logs are in %s", place.logs)
            place.delete_all_but_files()
        else:
            place.delete()


class _Places:
    """The number of trials that may be started at once, as a function.

    A trial is proposed only when there is room for it, so that its proposal uses all earlier
    results. On a shared cluster, where nodes come and go, the number is updated every few seconds;
    there one further trial is queued, as an autoscaler adds nodes only if something waits.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._counted = 1
        self._due_at = 0.0

    def __call__(self) -> int:
        now = time.monotonic()
        if now >= self._due_at:
            asked = self._resources
            fitting = cluster.num_places(
                cpus_per_trial=asked.cpus_per_trial, gpus_per_trial=asked.gpus_per_trial
            )
            self._counted = fitting + 1 if asked.ray_address else max(1, fitting)
            self._due_at = now + _COUNTED_EVERY_S if asked.ray_address else float("inf")
        return self._counted


def _os_error(error: BaseException) -> OSError | None:
    """Return the OSError among the causes of an error that Tune wrapped, or None."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__cause__ or inner.__context__
    return inner
