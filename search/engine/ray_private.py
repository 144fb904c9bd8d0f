"""All uses of Ray's private names by the engine.

Each function says why no public setting does. ``tests/engine_tests/test_ray_private.py`` holds the
names against the installed Ray, and pyproject.toml admits no version that it was not tried with.
"""

import logging
import signal
from pathlib import Path
from typing import Any

import ray
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial

from trainable import accelerator

_SHIPPING_LOG = "ray._private.runtime_env"


def hush_shipping() -> None:
    """Silence Ray's message on each directory that it does not send to nodes."""
    logging.getLogger(_SHIPPING_LOG).setLevel(logging.ERROR)


def start_cluster(temp_dir: Path) -> None:
    """Start a cluster on this machine that keeps its files in ``temp_dir``, and connect to it.

    The public alternative is the environment variable `RAY_TMPDIR`, which workers would pass on to
    all processes that they start. So is `RAY_prestart_worker_first_driver`: Ray would start a
    worker for each core at once, but Tune's actors, which have a runtime environment, never get
    one of these. They would take 0.4 s of the start and 80 MB each; the tasks of a comparison,
    which could use them, begin 0.2 s later without.
    """
    # A terminal that is closed tells its whole process group; Ray's processes, which inherit what
    # is blocked, must outlive that, for this one closes what is open with their help.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Ray counts CUDA devices itself, and Intel's only with a package that torch does not
            # need.
            num_gpus=None if accelerator.kind() in (None, "cuda") else accelerator.num_devices(),
            _temp_dir=str(temp_dir),
            _system_config={"prestart_worker_first_driver": False},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_keys_at_home() -> None:
    """Keep Tune from passing the driver's AWS keys to its workers.

    It passes them as settings of the worker, which Ray logs on every node. Nodes need keys of their
    own, which `search.engine.cluster.require_reach` checks.
    """
    keys = [name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]
    ENV_VARS_TO_PROPAGATE.difference_update(keys)


def keep_idle_workers(scheduled: Any, trial: Any, number: int) -> None:
    """Make Tune keep up to ``number`` idle workers with the resources of ``trial``.

    By default it ends all but one at the end of each batch, while the last trials still run. There
    is no public setting.

    Args:
        scheduled: The wrapped controller that Tune passes to a scheduler.
        trial: Any trial that the workers may run.
        number: Number of workers to keep.
    """
    cache = scheduled._tune_controller._actor_cache
    cache.increase_max(trial.placement_group_factory, by=number)


def waiting_trials(scheduled: Any) -> list[Any]:
    """List the pending trials for which no worker is starting yet.

    No public attribute of the controller's wrapper or of a trial gives the workers.

    Args:
        scheduled: The wrapped controller that Tune passes to a scheduler.
    """
    controller = scheduled._tune_controller

    def has_worker(trial: Any) -> bool:
        # A worker that is tracked but not started waits for a node with room.
        worker = controller._trial_to_actor.get(trial)
        return worker is not None and controller._actor_manager.is_actor_started(worker)

    return [
        trial
        for trial in controller.get_live_trials()
        if trial.status == Trial.PENDING and not has_worker(trial)
    ]


def workers_of_trials(scheduled: Any) -> list[tuple[Any, Any]]:
    """Each trial that has a worker, with it: one that trains, begins another trial or is starting.

    A trial tells of its worker only while it trains.

    Args:
        scheduled: The controller as a scheduler is given it, in a wrapper.
    """
    controller = scheduled._tune_controller
    live = controller._actor_manager._live_actors_to_ray_actors_resources
    return [
        (trial, live[actor][0])
        for trial, actor in controller._trial_to_actor.items()
        if actor in live and not trial.is_finished()
    ]


def end_for_good(trial: Any) -> None:
    """Have Tune not start a trial again whose worker is about to be ended."""
    trial.max_failures = 0


def keep_newest_checkpoint(trial: Any) -> None:
    """Make Tune keep only the newest checkpoint of a trial.

    With the public setting for all trials, Tune would write and copy the state of all trials, ended
    ones included, at each checkpoint.
    """
    trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep = 1


def forget_results(trial: Any) -> None:
    """Free the memory that Tune holds for the results of an ended trial.

    Tune keeps its trials to the end of a run, each with statistics of all its reports, for analyses
    and restores that never happen here.
    """
    kept = trial.run_metadata
    kept.metric_analysis, kept.metric_n_steps = {}, {}
    kept.last_result = {}
    trial._default_result_or_future = None  # Else Tune would ask the worker for a last result.
    trial.evaluated_params = {}
    if saved := kept.checkpoint_manager.latest_checkpoint_result:
        saved.metrics = {}


def storage_path_of(trial: Any) -> str:
    """Return the path of a trial's storage on the file system that Tune opened for it.

    Tune gives paths of checkpoints relative to that file system, not to the storage's address.
    """
    path: str = trial.storage.storage_fs_path
    return path


def delete_files_of(trial: Any) -> None:
    """Delete the folder of a trial with all its checkpoints."""
    trial.storage.storage_filesystem.delete_dir(trial.storage.trial_fs_path)
