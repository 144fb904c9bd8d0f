"""Ray's private names that the engine uses are there, and do what they are used for.

Where a test of this file fails after an update of Ray, `search.engine.ray_private` is all there is
to mend.
"""

import importlib
import logging
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune.execution import class_cache, tune_controller
from ray.tune.experiment import Trial

from search.engine import ray_private


def gone(name: str) -> str:
    return f"Ray {ray.__version__} has no {name}, which `search.engine.ray_private` uses."


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tune's controller, without a cluster."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    storage = StorageContext(storage_path=tmp_path, experiment_dir_name="session")
    # Ray's own managers of resources would start a cluster.
    no_resources: Any = SimpleNamespace
    return tune_controller.TuneController(storage=storage, resource_manager_factory=no_resources)


@pytest.fixture
def trial(tmp_path: Path) -> Any:
    storage = StorageContext(
        storage_path=tmp_path, experiment_dir_name="session", trial_dir_name="search-0000"
    )
    return Trial("toy", stub=True, storage=storage, evaluated_params={"lr": 0.125})


def wrapped(controller: Any) -> Any:
    """As a scheduler is given it."""
    return tune_controller.TrialRunnerWrapper(controller, None)


@pytest.mark.parametrize(
    "name",
    [
        "_actor_cache.increase_max",
        "_trial_to_actor.get",
        "_actor_manager.is_actor_started",
        "_actor_manager._live_actors_to_ray_actors_resources.get",
        "_trial_to_actor.items",
        "get_live_trials",
    ],
)
def test_the_controller_has_its_private_names(controller: Any, name: str) -> None:
    assert hasattr(wrapped(controller), "_tune_controller"), gone("_tune_controller")
    try:
        found: Callable[..., Any] = attrgetter(name)(controller)
    except AttributeError:
        pytest.fail(gone(f"TuneController.{name}"))
    assert callable(found), gone(f"TuneController.{name}")


@pytest.mark.parametrize(
    "name",
    [
        "placement_group_factory",
        "max_failures",
        "evaluated_params",
        "_default_result_or_future",
        "run_metadata.metric_analysis",
        "run_metadata.metric_n_steps",
        "run_metadata.last_result",
        "run_metadata.checkpoint_manager.latest_checkpoint_result",
        "run_metadata.checkpoint_manager.checkpoint_config.num_to_keep",
        "storage.storage_fs_path",
        "storage.storage_filesystem",
        "storage.trial_fs_path",
    ],
)
def test_a_trial_has_its_private_names(trial: Any, name: str) -> None:
    # What is set would else be set on a name that nobody reads.
    try:
        attrgetter(name)(trial)
    except AttributeError:
        pytest.fail(gone(f"Trial.{name}"))


def test_as_many_workers_are_kept_as_are_asked_for(controller: Any, trial: Any) -> None:
    cache = controller._actor_cache
    kept = []
    for asked in (0, 3):
        ray_private.keep_idle_workers(wrapped(controller), trial, asked)
        workers = [f"worker {number}" for number in range(5)]
        kept.append(
            sum(cache.cache_object(trial.placement_group_factory, worker) for worker in workers)
        )
        list(cache.flush_cached_objects(force_all=True))
    # Without being asked Tune keeps one.
    assert kept == [1, 3], gone("cache of workers as it was")


def test_a_trial_waits_until_a_worker_starts_for_it(controller: Any, trial: Any) -> None:
    started: list[str] = []
    controller._actor_manager.is_actor_started = started.__contains__
    other: Any = Trial("toy", stub=True, storage=trial.storage)
    for added in (trial, other):
        controller.add_trial(added)

    def waiting() -> set[Any]:
        return set(ray_private.waiting_trials(wrapped(controller)))

    assert waiting() == {trial, other}
    controller._trial_to_actor[trial] = "worker"
    assert waiting() == {trial, other}
    started.append("worker")
    assert waiting() == {other}
    other.set_status(Trial.RUNNING)
    assert waiting() == set()


def test_every_trial_with_a_worker_is_found_with_it_also_before_it_trains(
    controller: Any, trial: Any
) -> None:
    other: Any = Trial("toy", stub=True, storage=trial.storage)
    for added, actor in ((trial, "tracked 1"), (other, "tracked 2")):
        controller.add_trial(added)
        controller._trial_to_actor[added] = actor
    assert ray_private.workers_of_trials(wrapped(controller)) == []
    live = controller._actor_manager._live_actors_to_ray_actors_resources
    live["tracked 1"] = ("worker 1", "resources")
    assert ray_private.workers_of_trials(wrapped(controller)) == [(trial, "worker 1")]
    trial.set_status(Trial.TERMINATED)
    assert ray_private.workers_of_trials(wrapped(controller)) == []


def test_what_a_trial_needs_can_be_told() -> None:
    needs = tune.PlacementGroupFactory([{"CPU": 2.0, "GPU": 0.5}]).required_resources
    assert needs == {"CPU": 2.0, "GPU": 0.5}, gone("PlacementGroupFactory.required_resources")


def test_a_trial_that_is_ended_for_good_is_not_started_again(trial: Any) -> None:
    trial.max_failures = 2
    trial.run_metadata.num_failures = 1
    assert trial.should_recover(), gone("Trial.should_recover as it was")
    ray_private.end_for_good(trial)
    assert not trial.should_recover(), gone("Trial.max_failures as it was")


def test_a_trial_keeps_its_newest_checkpoint(trial: Any, tmp_path: Path) -> None:
    ray_private.keep_newest_checkpoint(trial)
    for number in (1, 2):
        (folder := tmp_path / f"checkpoint_{number}").mkdir()
        saved = _TrainingResult(tune.Checkpoint(str(folder)), {"metrics": {"val/top1": 0.5}})
        trial.run_metadata.checkpoint_manager.register_checkpoint(saved)
    assert [path.name for path in tmp_path.glob("checkpoint_*")] == ["checkpoint_2"]


def test_results_of_a_trial_that_is_over_are_forgotten(trial: Any, tmp_path: Path) -> None:
    for epoch in (1, 2):
        trial.update_last_result({"training_iteration": epoch, "metrics": {"val/top1": 0.375}})
    saved = _TrainingResult(tune.Checkpoint(str(tmp_path)), {"metrics": {"val/top1": 0.375}})
    trial.run_metadata.checkpoint_manager.register_checkpoint(saved)
    assert "0.375" in trial.run_metadata.get_json_state()
    ray_private.forget_results(trial)
    assert "0.375" not in trial.run_metadata.get_json_state()
    assert "0.125" not in str(vars(trial))
    assert trial.last_result == {"trial_id": trial.trial_id}  # Without asking its worker.
    assert (saved.metrics, trial.checkpoint) == ({}, saved.checkpoint)


def test_the_folder_of_a_trial_is_found_and_deleted(trial: Any, tmp_path: Path) -> None:
    folder = tmp_path / "session" / "search-0000"
    folder.mkdir(parents=True)
    assert ray_private.storage_path_of(trial) == str(tmp_path)
    ray_private.delete_files_of(trial)
    assert not folder.exists()
    assert folder.parent.exists()


def test_tune_hands_no_keys_to_its_workers() -> None:
    assert hasattr(class_cache, "ENV_VARS_TO_PROPAGATE"), gone("ENV_VARS_TO_PROPAGATE")
    ray_private.keep_keys_at_home()
    names = class_cache.ENV_VARS_TO_PROPAGATE
    assert names
    assert [name for name in names if name.startswith("AWS")] == []


def test_ray_takes_the_directory_of_its_files() -> None:
    """That it uses it, too, is seen where a cluster is started (test_session_place)."""
    assert "``_temp_dir``" in (ray.init.__doc__ or ""), gone("setting _temp_dir of ray.init")


def test_what_is_said_of_code_that_is_sent_is_said_by_the_logger_that_is_hushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = importlib.import_module("ray._private.runtime_env.packaging").default_logger
    monkeypatch.setattr(logging.getLogger("ray._private.runtime_env"), "level", logging.NOTSET)
    ray_private.hush_shipping()
    said.manager._clear_cache()
    assert not said.isEnabledFor(logging.WARNING), gone("logger for the code it sends")
