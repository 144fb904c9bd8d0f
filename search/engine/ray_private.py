"""What the engine does to Ray by names that Ray has not promised to keep; they stand here alone.

Each function says why no public setting does. ``tests/engine_tests/test_ray_private.py`` holds the
names against the installed Ray, and pyproject.toml admits no version that it was not tried with.
"""

import logging
from pathlib import Path
from typing import Any

import ray
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial

_SHIPPING_LOG = "ray._private.runtime_env"


def hush_shipping() -> None:
    """Have Ray not announce each directory that it leaves out of the code it sends to nodes."""
    logging.getLogger(_SHIPPING_LOG).setLevel(logging.ERROR)


def start_cluster(temp_dir: Path) -> None:
    """Start a cluster on this machine that keeps its files in ``temp_dir``, and connect to it.

    What Ray reads from the environment is `RAY_TMPDIR`, and workers would hand it on to whatever
    they start.
    """
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(temp_dir),
    )


def keep_keys_at_home() -> None:
    """Have Tune not hand the driver's AWS keys to its workers.

    It would do so by settings of the worker, which Ray logs on every node. Nodes have keys of their
    own; `search.engine.cluster.require_reach` sees to it.
    """
    keys = [name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")]
    ENV_VARS_TO_PROPAGATE.difference_update(keys)


def keep_idle_workers(scheduled: Any, trial: Any, number: int) -> None:
    """Have Tune keep that many workers that wait for a trial with the resources of ``trial``.

    It would end all but one at each end of a batch, when the last trials of it still run. No
    setting reaches its cache of workers.

    Args:
        scheduled: The controller as a scheduler is given it, in a wrapper.
        trial: Any trial that the workers may get.
        number: Workers to keep.
    """
    cache = scheduled._tune_controller._actor_cache
    cache.increase_max(trial.placement_group_factory, by=number)


def waiting_trials(scheduled: Any) -> list[Any]:
    """Trials that are to start and for which no worker is starting yet.

    Neither the wrapper around the controller nor a trial tells of workers.

    Args:
        scheduled: The controller as a scheduler is given it, in a wrapper.
    """
    controller = scheduled._tune_controller

    def has_worker(trial: Any) -> bool:
        # One that is tracked and not started waits for a node that has room.
        worker = controller._trial_to_actor.get(trial)
        return worker is not None and controller._actor_manager.is_actor_started(worker)

    return [
        trial
        for trial in controller.get_live_trials()
        if trial.status == Trial.PENDING and not has_worker(trial)
    ]


def keep_newest_checkpoint(trial: Any) -> None:
    """Have a trial keep its newest checkpoint only.

    Asked for all trials at once, Tune would answer each checkpoint of a trial by writing and
    copying its own state of all trials, those that are over included.
    """
    trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep = 1


def forget_results(trial: Any) -> None:
    """Drop what Tune keeps of a trial that is over, most of what a trial takes in memory.

    Tune holds its trials to the end, each with statistics of all that it reported, for analyses and
    restores that never happen here.
    """
    kept = trial.run_metadata
    kept.metric_analysis, kept.metric_n_steps = {}, {}
    kept.last_result = {}
    trial._default_result_or_future = None  # Or Tune would ask the worker for a last result.
    trial.evaluated_params = {}
    if saved := kept.checkpoint_manager.latest_checkpoint_result:
        saved.metrics = {}


def storage_path_of(trial: Any) -> str:
    """The storage of a trial as a path on the file system that Tune opened for it.

    Tune tells the path of a checkpoint without the file system that it is a path on.
    """
    path: str = trial.storage.storage_fs_path
    return path


def delete_files_of(trial: Any) -> None:
    """Delete the folder of a trial with all its checkpoints."""
    trial.storage.storage_filesystem.delete_dir(trial.storage.trial_fs_path)
