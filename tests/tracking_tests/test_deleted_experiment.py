"""An experiment deleted in MLflow: said at the start, with the command that restores it."""

import shlex
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from search.commands import pipeline
from search.commands.job import Job
from search.commands.train import plan as train_plan
from search.commands.train.command import Place, train
from search.commands.train.job import Asked
from search.records.provenance import ROOT
from search.tracking.open_store import embedded_uri, open_store, set_environment
from search.tracking.run_info import EXPERIMENT
from search.tracking.tracker import Tracker
from tests.support import finished_run
from tests.support.pasting import ODD
from tests.support.toy_training import toy_dataset, write_run
from trainable.data.datasets import Dataset

set_environment()

from mlflow import MlflowClient  # noqa: E402  It reads the environment while it is imported.

CAUSE = f"the experiment {EXPERIMENT!r} was deleted in MLflow"


@pytest.fixture
def store_dir(tmp_path: Path) -> Path:
    """A store whose path is long and full of what a shell interprets, its experiment deleted."""
    folder = tmp_path / ("long " * 40) / ODD
    delete(open_store(None, store_dir=folder, experiment=EXPERIMENT).experiment_id, folder)
    return folder


def delete(experiment_id: str, store_dir: Path) -> None:
    MlflowClient(embedded_uri(store_dir)).delete_experiment(experiment_id)


def restore(problem: str) -> None:
    """Paste the command that a problem ends with."""
    _, command = problem.split("; get it back by: ")
    subprocess.run(["bash", "-c", command], cwd=ROOT, check=True, capture_output=True)


def restore_here(problem: str) -> None:
    """Do in this process what that command does in one of its own."""
    _, command = problem.split("; get it back by: ")
    uri, _, *program, number = shlex.split(command)
    name, _, address = uri.partition("=")
    assert (name, program) == (
        "MLFLOW_TRACKING_URI",
        ["-m", "mlflow", "experiments", "restore", "-x"],
    )
    MlflowClient(address).restore_experiment(number)


def a_tracker(store_dir: Path) -> Tracker:
    return Tracker(None, store_dir=store_dir, experiment=EXPERIMENT, run_name="r1")


def runs(store_dir: Path) -> list[Any]:
    client = MlflowClient(embedded_uri(store_dir))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_the_command_that_is_told_brings_the_experiment_back_and_the_search_into_it(
    store_dir: Path,
) -> None:
    tracker = a_tracker(store_dir)
    (problem,) = tracker.problems
    assert problem.startswith(f"could not open the store: {CAUSE}")
    restore(problem)
    tracker.open_search(params={}, tags={"search_id": "s"}, dataset=None)
    trials = finished_run.search_trials(2)
    tracker.sync(trials)
    tracker.close_search("FINISHED", verdict=None, artifacts=None)
    assert tracker.problems == []
    assert len(runs(store_dir)) == 1 + len(trials)


def test_one_that_is_deleted_during_a_search_is_told_from_a_store_that_fails(
    tmp_path: Path,
) -> None:
    tracker = a_tracker(tmp_path)
    tracker.open_search(params={}, tags={"search_id": "s"}, dataset=None)
    first, *others = finished_run.search_trials(1)
    tracker.sync([first])
    store = open_store(None, store_dir=tmp_path, experiment=EXPERIMENT)
    delete(store.experiment_id, tmp_path)
    tracker.sync(others)
    tracker.close_search("FINISHED", verdict=None, artifacts=None)
    assert tracker.problems
    assert any("was deleted in MLflow" in problem for problem in tracker.problems)
    restore_here(next(p for p in tracker.problems if "was deleted in MLflow" in p))
    again = a_tracker(tmp_path)
    again.open_search(params={}, tags={"search_id": "s"}, dataset=None)
    again.sync([first, *others])
    again.close_search("FINISHED", verdict=None, artifacts=None)
    assert again.problems == []
    assert len(runs(tmp_path)) == 1 + 1 + len(others)


def test_a_search_tells_it_before_it_does_anything(
    store_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = finished_run.a_config(tmp_path, tracking_uri=embedded_uri(store_dir))
    write_run(tmp_path)
    nothing: Any = None
    job = Job(
        kind="",
        result="verdict.json",
        make_plan=nothing,
        show=nothing,
        sizes=nothing,
        stages=nothing,
        watch=nothing,
        tell=lambda session: session.console.print("the work"),
    )
    pipeline._work(job, config, finished_run.a_plan(), cast(Dataset, nothing))
    before, _ = capsys.readouterr().out.split("the work")
    (line,) = before.splitlines()
    assert line.startswith(f"Tracking: could not open the store: {CAUSE}")
    restore_here(line)


def test_a_training_tells_it_before_it_begins(
    store_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = toy_dataset()
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: made)
    run = write_run(tmp_path / "runs")
    place = Place(
        run_dir=run.parent,
        run_name="untracked",
        tracking_uri=None,
        store_dir=store_dir,
        experiment=EXPERIMENT,
    )
    train(Asked(config=run / "toy.yaml"), place)
    first, *between, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"Tracking: could not open the store: {CAUSE}")
    assert not any(line.startswith("Tracking") for line in between)
    assert CAUSE in last
    restore_here(last)
    train(None, place)  # Everything is written to the store that is there again.
    (tracked,) = runs(store_dir)
    assert tracked.info.status == "FINISHED"
    assert "Tracking" not in capsys.readouterr().out
