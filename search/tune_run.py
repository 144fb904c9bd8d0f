"""Ray Tune as the engine: three thin adapters between Tune and the conductor.

Tune starts actors, retries trials whose worker died and moves checkpoints; every decision is the
conductor's, and every fact lies in the journal. Tune's own experiment state is never restored:
after a crash a new Tune run goes on from the journal.
"""

import errno
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import ray
from pyarrow.fs import FileType
from ray import tune
from ray.tune import TuneError
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search import cluster
from search.cluster_watch import ClusterWatch
from search.conductor import Conductor, Wait
from search.files import write_json
from search.passwords import without_passwords
from search.storage import is_below, location_of
from search.trials import Record, TrialSpec
from trainable.datasets import Dataset
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
# Tune would hand the driver's keys to its workers as settings, which Ray logs on every node. Nodes
# have keys of their own; `cluster.require_reach` sees to it.
ENV_VARS_TO_PROPAGATE.difference_update([n for n in ENV_VARS_TO_PROPAGATE if n.startswith("AWS_")])
_MOST_PLACES = 10_000
"""Trials at once that Tune never sees; `_Places` counts those that fit."""
_COUNTED_EVERY_S = 5.0
_DELETED_WITHIN_S = 5.0
_sessions: list[Path] = []
"""Directories of the cluster that this process started, if it did."""


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
    """Asks the conductor after each epoch whether a trial goes on."""

    def __init__(self, conductor: Conductor, run_dir: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._conductor = conductor
        self._predictions = run_dir / "predictions"

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Journal the epoch and answer CONTINUE or STOP, also at full length."""
        spec = TrialSpec.from_dict(trial.config["spec"])
        prefix = "metrics/"  # Tune flattens what a trial reports.
        metrics = {k.removeprefix(prefix): v for k, v in result.items() if k.startswith(prefix)}
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


class CheckpointNotes(_NotPickled, tune.Callback):
    """Tells the conductor where each trial's newest checkpoint lies."""

    def __init__(self, conductor: Conductor, storage: str) -> None:
        self._conductor = conductor
        self._storage = storage
        self._deleted: set[str] = set()

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
        """Delete the checkpoints of a trial that is over: thousands of them fill a disk."""
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
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ConductedSearcher(conductor, places, storage=resources.storage),
            scheduler=ConductedScheduler(conductor, run_dir),
            num_samples=-1,
            # With a number Tune starts that many workers side by side, without one it waits for
            # each before it starts the next.
            max_concurrent_trials=_MOST_PLACES,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            # A name of its own for each session: a checkpoint of an earlier one is never written
            # over while it is what a trial would go on from.
            name=time.strftime("session-%Y%m%d-%H%M%S"),
            storage_path=resources.storage,
            verbose=0,
            callbacks=[CheckpointNotes(conductor, resources.storage)],
            failure_config=tune.FailureConfig(max_failures=resources.max_failures),
            # Only what a trial asks for itself: at the end of a trial nobody needs its state.
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
        ),
    )
    # A restarted head of a shared cluster is waited for; one of our own does not come back.
    session = _sessions[-1] if _sessions else None
    patience_s = 45.0 if resources.ray_address else 3.0
    with ClusterWatch(run_dir, session=session, patience_s=patience_s):
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
        started: Any = ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        _sessions.append(Path(started.address_info["session_dir"]))
    signal.signal(signal.SIGTERM, sigterm)  # Ray takes it for itself and ends without a word.
    return float(ray.cluster_resources().get("CPU", 0.0))  # type: ignore[no-untyped-call]


def stop_ray(*, keeps_logs: bool = False) -> None:
    """Leave the cluster, or end the one that `start_ray` started and delete what Ray leaves of it.

    Args:
        keeps_logs: Whether Ray's own logs, a megabyte a run, stay in its temporary directory.
    """
    ray.shutdown()
    while _sessions:
        session = _sessions.pop()
        if keeps_logs:
            log.warning("Ray's own logs are in %s", session / "logs")
            continue
        deadline = time.monotonic() + _DELETED_WITHIN_S
        # Its processes are told to end, and write until they do.
        while session.exists() and time.monotonic() < deadline:
            shutil.rmtree(session, ignore_errors=True)
            time.sleep(0.05)


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


def _trial_name(trial: Any) -> str:
    return TrialSpec.from_dict(trial.config["spec"]).trial_id


def _os_error(error: BaseException) -> OSError | None:
    """What the system refused, of which Tune made a traceback in an error of its own."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__cause__ or inner.__context__
    return inner
