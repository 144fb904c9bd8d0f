"""A search that is tracked by a server over PostgreSQL, which hangs and dies in its middle."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from benchmarks.driver.mlflow_server import MlflowServer, postgres, postgres_binaries
from search.tracking.open_store import failures, set_environment
from tests.support import toy_driver
from tests.support.programs.forked import Forked
from tests.support.whole_run import num_records_of, require_mirrored

set_environment()

from mlflow.tracking import MlflowClient  # noqa: E402  It reads the environment while imported.

from search.records.trials import Record, Trial, TrialSpec  # noqa: E402
from search.tracking.background import BackgroundTracker  # noqa: E402
from search.tracking.patience import Costs, Patience  # noqa: E402
from search.tracking.tracker import Tracker  # noqa: E402
from spaces.recipe import Recipe  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

METRICS = ("val/top1", "val/nll", "train/loss")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    binaries = postgres_binaries()
    if binaries is None:
        reason = "There is no PostgreSQL under /usr/lib/postgresql on this machine."
        # A person may lack it; where everything is tested, nothing may be skipped.
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    with postgres(binaries) as address:
        yield address


@pytest.fixture(scope="module")
def serving(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(database, tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.die()


@pytest.fixture
def server(serving: MlflowServer) -> MlflowServer:
    if not serving.is_up:
        serving.start()
    return serving


def searched(num_trials: int, epochs: int, num_workers: int) -> Iterator[Trial]:
    """A search as its driver tells it, report by report; every third trial is stopped half-way."""
    running: list[Trial] = []
    number = 0
    while running or number < num_trials:
        while len(running) < num_workers and number < num_trials:
            recipe = Recipe(epochs=epochs).with_strengths(weight_decay=0.001 * number)
            spec = TrialSpec(stage="search", number=number, role="proposed", recipe=recipe)
            running.append(Trial(spec=spec))
            yield running[-1]
            number += 1
        for trial in list(running):
            running.remove(trial)
            epoch = trial.epoch + 1
            record = Record(
                trial_id=trial.spec.trial_id,
                stage="search",
                epoch=epoch,
                time=1_800_000_000.0 + 60 * epoch,
                metrics=dict.fromkeys(METRICS, 1.0 / (epoch + trial.spec.number)),
            )
            grown = replace(trial, records=(*trial.records, record))
            if epoch == epochs:
                grown = replace(grown, status="finished")
            elif trial.spec.number % 3 == 2 and epoch == epochs // 2:
                grown = replace(grown, status="stopped", reason="stopped half-way")
            else:
                running.append(grown)
            yield grown


def callers_of_the_server(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the threads that send a request from now on."""
    callers: set[str] = set()
    send = requests.Session.send

    def noted(*args: Any, **settings: Any) -> requests.Response:
        callers.add(threading.current_thread().name)
        return send(*args, **settings)

    monkeypatch.setattr(requests.Session, "send", noted)
    return callers


def tracker_of(server: MlflowServer, name: str, directory: Path) -> BackgroundTracker:
    costs = Costs(of_failures="computed", of_successes="computed")
    patience = Patience(failures(), costs=costs, grace_s=1e9, pause_s=1.0)
    tracker = Tracker(
        server.uri, store_dir=directory, experiment="mine", run_name=name, patience=patience
    )
    return BackgroundTracker(tracker)


def require_once(server: MlflowServer, name: str, trials: dict[str, Trial]) -> None:
    """The store holds each trial once, each of its epochs once, and how it ended."""
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.search_id = '{name}'")
    (parent,) = [run for run in found if run.data.tags["role"] == "search"]
    children = [run for run in found if run is not parent]
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.tags["trial_id"] for run in children) == sorted(trials)
    for run in children:
        trial = trials[run.data.tags["trial_id"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == {"finished": "FINISHED", "stopped": "KILLED"}[trial.status]
        for key in METRICS:
            points = client.get_metric_history(run.info.run_id, key)
            assert [point.step for point in points] == list(range(1, trial.epoch + 1)), (
                run.data.tags
            )


@pytest.mark.parametrize(
    ("false", "says"),
    [(("mlflow@", "nobody:hush@"), "role"), (("/postgres", "/nothing"), "database")],
)
def test_a_database_that_refuses_costs_no_time_and_tells_no_password(
    false: tuple[str, str], says: str, database: str, tmp_path: Path
) -> None:
    started = time.monotonic()
    address = database.replace(*false)
    tracker = Tracker(address, store_dir=tmp_path, experiment="mine", run_name="refused")
    (problem,) = tracker.problems
    assert f'{says} "' in problem
    assert "does not exist" in problem
    assert "hush" not in problem
    # MLflow itself tries for a hundred seconds.
    assert time.monotonic() - started < 20.0


@pytest.mark.parametrize(
    ("num_trials", "away_s"),
    [(40, 4.0), pytest.param(400, 60.0, marks=pytest.mark.stress)],
)
def test_a_server_that_hangs_and_dies_in_mid_search_loses_nothing_and_holds_up_nobody(
    num_trials: int,
    away_s: float,
    server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeout_s = 2
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout_s))
    name = f"interrupted {num_trials}"
    tracker = tracker_of(server, name, tmp_path)
    reports = list(searched(num_trials, epochs=10, num_workers=4))
    trials: dict[str, Trial] = {}
    callers = callers_of_the_server(monkeypatch)

    def search(part: list[Trial], seconds: float) -> None:
        for trial in part:
            time.sleep(seconds / len(part))
            trials[trial.spec.trial_id] = trial
            tracker.trial_changed(trial)

    fifth = len(reports) // 5
    tracker.open_search(params={"seed": "0"}, tags={"dataset": "digits"}, dataset=None)
    search(reports[:fifth], 3.0)
    server.hang()
    search(reports[fifth : 2 * fifth], away_s)
    server.go_on()
    search(reports[2 * fifth : 3 * fifth], 3.0)
    server.die()
    search(reports[3 * fifth : 4 * fifth], away_s)
    server.start()
    search(reports[4 * fifth :], 1.0)
    assert callers == {"tracking"}  # Whoever tells of a trial never waits for the server.
    tracker.close_search("FINISHED", verdict=None, artifacts=None)
    assert tracker.problems == []
    require_once(server, name, trials)


def test_a_server_that_never_comes_back_gets_everything_with_make_resume(
    server: MlflowServer, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "away"
    environment = {toy_driver.TRAINED: str(tmp_path / "trained"), toy_driver.EPOCH_S: "0.05"}

    def driver(command: str) -> Forked:
        words = [command, str(run), server.uri]
        return Forked("tests.support.toy_driver", words, environment=environment)

    first = driver("run")
    try:
        deadline = time.monotonic() + 120
        while num_records_of(run, "search") < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        server.die()
        output, _ = first.communicate(timeout=300)
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    assert first.returncode == 0, output
    assert "Tracking: could not" in output
    verdict = json.loads((run / "verdict.json").read_text())
    server.start()
    again = driver("resume")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "Tracking:" not in output
    assert json.loads((run / "verdict.json").read_text()) == verdict
    require_mirrored(run, server.uri)
