"""Ray Tune as the engine of a run, and the cluster that it works on.

Tune starts actors, retries trials whose worker died and moves checkpoints; every decision is the
conductor's, and every fact lies in the journal. Tune's own experiment state is never restored:
after a crash a new Tune run goes on from the journal.
"""

import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune
from ray.tune import TuneError

from search.engine import cluster, ray_private
from search.engine.border import trial_id_of
from search.engine.cluster_watch import ClusterWatch
from search.engine.conductor import Conductor
from search.engine.scheduler import ConductedScheduler
from search.engine.searcher import CheckpointNotes, ConductedSearcher
from search.engine.session_place import SessionPlace, make_session_place
from trainable.data.datasets import Dataset
from trainable.ray_trainable import RecipeTrainable

log = logging.getLogger("search")

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # records.jsonl has it all.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is never read back.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: close what is open, say how to resume.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # log.txt has those of trials that failed for good.
    "RAY_AIR_NEW_OUTPUT": "0",
}
_MOST_PLACES = 10_000
"""Trials at once that Tune never sees; `_Places` counts those that fit."""
_COUNTED_EVERY_S = 5.0
_sessions: list[SessionPlace] = []
"""Where the cluster that this process started lies, if it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial gets and where it runs.

    Attributes:
        cpus_per_trial: CPU cores, at least 1; also the number of its compute threads.
        gpus_per_trial: Share of a GPU, 0 for none.
        ray_address: Address of a running cluster, or None to start one on this machine.
        storage: Directory or URI where trials keep checkpoints; every node must reach it.
        max_failures: Times a trial whose worker died is started again.
        checkpoint_every_s: Seconds of training between checkpoints of a trial.
    """

    cpus_per_trial: float
    gpus_per_trial: float
    ray_address: str | None
    storage: str
    max_failures: int = 2
    checkpoint_every_s: float = 20.0


def run(conductor: Conductor, *, dataset: Dataset, resources: Resources, run_dir: Path) -> None:
    """Train everything the conductor asks for.

    Args:
        conductor: Decides what is trained and for how long.
        dataset: Put into the object store once; trials map it, they do not copy it.
        resources: What a trial gets.
        run_dir: Where predictions on the test images are kept, image by image.

    Raises:
        ClusterLost: If the cluster is gone.
        OSError: If something that must be kept could not be written: the disk is full, say.
        RuntimeError: If Tune ends while the conductor still has something to do.
    """
    trainable = tune.with_resources(
        tune.with_parameters(
            RecipeTrainable,
            dataset=dataset,
            device="cuda" if resources.gpus_per_trial else "cpu",
            num_threads=max(1, int(resources.cpus_per_trial)),
            checkpoint_every_s=resources.checkpoint_every_s,
        ),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    places = _Places(resources)
    ray_private.keep_keys_at_home()
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ConductedSearcher(conductor, places, storage=resources.storage),
            scheduler=ConductedScheduler(
                conductor, run_dir, num_own_workers=None if resources.ray_address else places
            ),
            num_samples=-1,
            # With a number Tune starts that many workers side by side, without one it waits for
            # each before it starts the next.
            max_concurrent_trials=_MOST_PLACES,
            reuse_actors=True,
            trial_name_creator=trial_id_of,
            trial_dirname_creator=trial_id_of,
        ),
        run_config=tune.RunConfig(
            # A name of its own for each session: a checkpoint of an earlier one is never written
            # over while it is what a trial would go on from.
            name=time.strftime("session-%Y%m%d-%H%M%S"),
            storage_path=resources.storage,
            verbose=0,
            callbacks=[CheckpointNotes(conductor, resources.storage)],
            failure_config=tune.FailureConfig(max_failures=resources.max_failures),
            # Only what a trial asks for itself: at the end of a trial nobody needs its state. How
            # many it keeps is said to each trial by `CheckpointNotes`.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    # A restarted head of a shared cluster is waited for; one of our own does not come back.
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
        CPU cores that trials may use.
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
    signal.signal(signal.SIGTERM, sigterm)  # Ray takes it for itself and ends without a word.
    return float(ray.cluster_resources().get("CPU", 0.0))  # type: ignore[no-untyped-call]


def stop_ray(*, keeps_logs: bool = False) -> None:
    """Leave the cluster, or end the one that `start_ray` started and delete what Ray leaves of it.

    Args:
        keeps_logs: Whether Ray's own logs, a megabyte a run, stay in its temporary directory.
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
    """How many trials may be given out at once.

    A trial is given out only when there is a place for it, so that its proposal knows every result
    that came before it. On a cluster, where nodes come and go, places are counted again every few
    seconds; there one trial more waits in line: an autoscaler adds nodes only if something does.
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
    """What the system refused, of which Tune made a traceback in an error of its own."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__cause__ or inner.__context__
    return inner
