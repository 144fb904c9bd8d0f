"""A search in a real MLflow store: nothing twice, no hole, and never in the way."""

import base64
import json
import logging
import re
import shutil
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pytest

from search.records.trials import Record, Trial, TrialSpec
from search.stages.standings import standings
from search.tracking import trial_fields
from search.tracking.mirror import Mirror
from search.tracking.open_store import embedded_uri, failures, set_environment
from search.tracking.patience import Patience
from search.tracking.scripts.tracker import CompareInfo, CompareTracker
from search.tracking.tracker import DatasetInfo, Tracker
from search.tracking.trial_fields import Values
from search.tracking.view import chart_url, newest_url, run_url
from search.verdict.schema import Confirmed, Cost, Dial, Estimate, Fit, Verdict
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from tests.support.no_hurry import no_hurry

set_environment()

from mlflow import MlflowClient  # noqa: E402  It reads the environment while it is imported.
from mlflow.entities import Run  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

EPOCHS = 5


def a_trial(
    number: int, epochs: int, status: str = "running", *, stage: str = "search", **more: Any
) -> Trial:
    recipe = Recipe(epochs=EPOCHS).with_strengths(weight_decay=0.5, drop_path_rate=0.01 * number)
    spec = TrialSpec(stage=stage, number=number, role="proposed", recipe=recipe, **more)
    records = tuple(
        Record(
            trial_id=spec.trial_id,
            stage=stage,
            epoch=epoch,
            time=1_800_000_000.0 + 60 * epoch,
            metrics={
                "val/top1": 0.1 * epoch + 0.01 * number,
                "val/nll_refined": 1.0,
                "train/loss": 2.0 / epoch,
            },
        )
        for epoch in range(1, epochs + 1)
    )
    return Trial(spec=spec, records=records, status=status)


def positions(recipe: Recipe) -> dict[str, float]:
    return {name: min(1.0, value) for name, value in recipe.strengths.as_dict().items()}


@pytest.fixture(scope="module")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a store")


@pytest.fixture(scope="module")
def client(store_dir: Path) -> MlflowClient:
    Tracker(None, store_dir=store_dir, experiment="mine", run_name="first")
    return MlflowClient(embedded_uri(store_dir))


@pytest.fixture
def open_tracker(
    store_dir: Path, client: MlflowClient, request: pytest.FixtureRequest
) -> Callable[[], Tracker]:
    """A driver that starts, or starts again, on the search of this test."""

    def start() -> Tracker:
        tracker = Tracker(
            None,
            store_dir=store_dir,
            experiment="mine",
            run_name=request.node.name,
            told=Values(
                positions=positions,
                standings=partial(standings, top=2, metric="val/top1", num_val=100),
            ),
            patience=no_hurry(),
        )
        tracker.open_search(
            params={"budget": "24"},
            tags={"dataset": "digits"},
            dataset=DatasetInfo(name="digits", digest="d" * 40, num_train=3, num_val=2, num_test=1),
        )
        return tracker

    return start


def parent_of(client: MlflowClient, name: str) -> Run:
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.search_id = '{name}'")
    (parent,) = [run for run in found if run.data.tags.get("role") == "search"]
    return parent


def children_of(client: MlflowClient, name: str) -> dict[str, Run]:
    parent = parent_of(client, name)
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    found = client.search_runs([parent.info.experiment_id], query)
    names = Counter(run.data.tags["trial_id"] for run in found)
    assert set(names.values()) <= {1}, "a trial has two runs"
    return {run.data.tags["trial_id"]: run for run in found}


def steps(client: MlflowClient, run: Run, key: str = "val/top1") -> list[int]:
    return [metric.step for metric in client.get_metric_history(run.info.run_id, key)]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    test: str = request.node.name
    return test


def test_strengths_read_back_by_a_trial_join_its_params_when_they_arrive(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    """Not of the config: this trial was asked for 0.5 and found 0.25 at work."""
    begun, reported = a_trial(0, 0), a_trial(0, 2)
    first, second = reported.records
    first = replace(first, metrics={**first.metrics, "live/weight_decay": 0.25})
    reported = replace(reported, records=(first, second))
    open_tracker().sync([begun])
    assert "live.weight_decay" not in children_of(client, name)["search-0000"].data.params
    for _ in range(2):  # MLflow refuses another value for a param that it has.
        open_tracker().sync([reported])
    child = children_of(client, name)["search-0000"]
    assert child.data.params["live.weight_decay"] == "0.250000"
    assert child.data.params["weight_decay"] == "0.500000"
    assert not [key for key in child.data.metrics if key.startswith("live")]


def test_a_second_sync_and_a_second_driver_write_nothing_twice(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    trials = [a_trial(0, EPOCHS, "finished"), a_trial(1, 2, "stopped"), a_trial(2, 3)]
    first = open_tracker()
    for _ in range(2):
        first.sync(trials)
    second = open_tracker()
    second.sync(trials)
    second.trial_changed(trials[2])

    children = children_of(client, name)
    assert [steps(client, children[t.spec.trial_id]) for t in trials] == [
        [1, 2, 3, 4, 5],
        [1, 2],
        [1, 2, 3],
    ]
    assert steps(client, children["search-0000"], "final/val/top1") == [5]
    parent = parent_of(client, name)
    assert steps(client, parent, "search/best_val_top1") == [0, 1]
    assert parent.inputs is not None
    assert len(parent.inputs.dataset_inputs) == 1
    assert first.problems == second.problems == []


def test_a_search_has_no_best_before_a_trial_has_a_result(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    open_tracker().sync([a_trial(0, 0, "failed"), a_trial(1, EPOCHS, "finished")])
    assert steps(client, parent_of(client, name), "search/best_val_top1") == [1]


def test_a_second_driver_fills_what_the_first_left_out(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    open_tracker().sync([a_trial(1, 2)])
    open_tracker().sync([a_trial(0, EPOCHS, "finished"), a_trial(1, 4, "stopped"), a_trial(2, 0)])
    children = children_of(client, name)
    late = children["search-0000"].info
    assert late.end_time - late.start_time == 60_000 * (EPOCHS - 1)
    assert steps(client, children["search-0000"]) == [1, 2, 3, 4, 5]
    assert steps(client, children["search-0001"]) == [1, 2, 3, 4]
    assert children["search-0001"].info.status == "KILLED"
    assert children["search-0002"].info.status == "RUNNING"


def test_a_report_looks_at_its_own_trial_and_not_at_all_others(
    open_tracker: Callable[[], Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search of thousands of trials reports as fast as one of ten."""
    tracker = open_tracker()
    tracker.sync([a_trial(number, 1, "stopped") for number in range(12)])
    assert tracker.problems == []
    looked: list[str] = []
    whole = Mirror.lags

    def counted(self: Mirror, trial: Trial) -> bool:
        looked.append(trial.spec.trial_id)
        return whole(self, trial)

    monkeypatch.setattr(Mirror, "lags", counted)
    tracker.trial_changed(a_trial(12, 1))
    assert set(looked) == {"search-0012"}


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_call_that_fails_before_or_after_it_arrived_is_made_up_for(
    open_tracker: Callable[[], Tracker],
    client: MlflowClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    arrives: bool,
) -> None:
    tracker = open_tracker()
    whole = getattr(MlflowClient, call)

    def broken(self: MlflowClient, *args: Any, **kwargs: Any) -> None:
        if arrives:
            whole(self, *args, **kwargs)
        raise MlflowException("the answer is lost")

    monkeypatch.setattr(MlflowClient, call, broken)
    tracker.trial_changed(a_trial(0, EPOCHS, "finished"))
    monkeypatch.setattr(MlflowClient, call, whole)
    assert "the answer is lost" in caplog.text
    tracker.trial_changed(a_trial(1, 1))

    child = children_of(client, name)["search-0000"]
    assert steps(client, child) == [1, 2, 3, 4, 5]
    assert steps(client, child, "final/val/top1") == [5]
    assert child.info.status == "FINISHED"
    assert child.data.params["seed"] == "0"
    assert steps(client, parent_of(client, name), "search/best_val_top1") == [0]
    assert tracker.problems == []


def test_each_outcome_has_its_status_and_its_tags(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    expected = {
        "running": "RUNNING",
        "finished": "FINISHED",
        "stopped": "KILLED",
        "diverged": "FAILED",
        "failed": "FAILED",
        "killed": "KILLED",
    }
    tracker = open_tracker()
    for number, outcome in enumerate(expected):
        tracker.trial_changed(a_trial(number, 0))
        tracker.trial_changed(a_trial(number, 2, outcome))
    children = children_of(client, name).values()
    assert {run.data.tags["outcome"]: run.info.status for run in children} == expected
    assert all(run.data.tags["dataset"] == "digits" for run in children)
    colours = {run.data.tags["mlflow.runColor"] for run in children}
    assert len(colours) == len(expected)
    (stopped,) = [run for run in children if run.data.tags["outcome"] == "stopped"]
    assert stopped.info.run_name.startswith("t002 ✂2 ")
    assert stopped.data.tags["rung"] == "2"


def test_a_child_holds_raw_and_dial_values_and_only_metrics_for_charts(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    trial = a_trial(1, 1)
    metrics = {"val/top1": 0.123456, "val/mystery": 1.0, "cost/train_s": 3.0}
    record = replace(trial.records[0], metrics=metrics)
    open_tracker().sync([replace(trial, records=(record,))])
    child = children_of(client, name)["search-0001"]
    assert child.data.metrics == {"val/top1": 0.1235, "best/val/top1": 0.1235}
    assert {name: child.data.params[name] for name in STRENGTHS} == {
        "weight_decay": "0.500000",
        "label_smoothing": "0.000000",
        "drop_path_rate": "0.010000",
        "ema_decay": "0.000000",
        "warmup_fraction": "0.000000",
    }
    assert child.data.params["position.weight_decay"] == "0.500000"


def test_an_interrupted_search_is_closed_and_goes_on_where_it_was(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    tracker = open_tracker()
    tracker.sync([a_trial(0, 2)])
    tracker.close_search("KILLED", verdict=None, artifacts=None)
    assert parent_of(client, name).info.status == "KILLED"
    assert "interrupted" in parent_of(client, name).data.tags["mlflow.note.content"]
    assert children_of(client, name)["search-0000"].info.status == "KILLED"

    resumed = open_tracker()
    resumed.sync([a_trial(0, 3)])
    assert parent_of(client, name).info.status == "RUNNING"
    assert children_of(client, name)["search-0000"].info.status == "RUNNING"
    resumed.sync([a_trial(0, EPOCHS, "finished")])
    resumed.close_search("FINISHED", verdict=None, artifacts=None)
    child = children_of(client, name)["search-0000"]
    assert child.info.status == "FINISHED"
    assert steps(client, child) == [1, 2, 3, 4, 5]
    assert parent_of(client, name).info.status == "FINISHED"


def a_verdict() -> Verdict:
    gain = Estimate(mean=0.02, ci95=(0.01, 0.03))
    dial = Dial(
        strength="label_smoothing",
        turn="down",
        reference=0.1,
        recommended=0.0,
        effective_unit="mass",
        reference_effective=0.1,
        recommended_effective=0.0,
        effect={"val/top1": gain},
        decided_by="val/top1",
        num_runs=32,
        runs_to_decide=None,
    )
    return Verdict(
        run="r",
        dataset="digits",
        model="m",
        num_train=300,
        total_steps=135,
        fit=Fit(reference="underfit", best="balanced", reasons=("Because.",)),
        dials=(dial,),
        confirmed=Confirmed(
            num_images=1197,
            seeds=3,
            reference={"test/top1": 0.9},
            best={"test/top1": 0.92},
            off={"test/top1": 0.91},
            best_minus_reference={"test/top1": gain},
        ),
        cost=Cost(wall_s=60.0, core_s=120.0, train_share=0.9),
        sentence="Turn down label smoothing.",
    )


def test_a_closed_search_shows_its_verdict_and_files_once_however_often_it_is_closed(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str, tmp_path: Path
) -> None:
    (tmp_path / "trials.csv").write_text("trial_id,val/top1\nsearch-0000,0.5\nsearch-0001,nan\n")
    (tmp_path / "best.yaml").write_text("lr: 0.001\n")
    (tmp_path / "ray").mkdir()
    trials = [a_trial(0, EPOCHS, "finished"), a_trial(1, 2, "stopped")]
    for _ in range(2):
        tracker = open_tracker()
        tracker.sync(trials)
        tracker.close_search("FINISHED", verdict=a_verdict(), artifacts=tmp_path)
        assert tracker.problems == []

    parent = parent_of(client, name)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["confirmed/gain_top1_low"] == 0.01
    assert parent.data.metrics["effect/label_smoothing_high"] == 0.03
    assert steps(client, parent, "confirmed/gain_top1") == [0]
    assert parent.data.tags["turn_down"] == "label_smoothing"
    assert parent.data.tags["turn_up"] == "none"
    assert "**Turn down label smoothing.**" in parent.data.tags["mlflow.note.content"]
    paths = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert paths == {"trials.csv", "best.yaml", "tables", "environment.txt"}
    folder = Path(parent.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    table = json.loads((folder / "tables/trials.json").read_text())
    assert table == {
        "columns": ["trial_id", "val/top1"],
        "data": [["search-0000", 0.5], ["search-0001", ""]],
    }
    assert steps(client, parent, "search/best_val_top1") == [0, 1]
    children = children_of(client, name)
    assert steps(client, children["search-0001"], "rank/pct_at_stop") == [2]
    ranks = {key: run.data.metrics["rank/pct_at_stop"] for key, run in children.items()}
    assert ranks == {"search-0000": 100.0, "search-0001": 100.0}


def test_a_closed_search_tags_each_recipe_with_its_place_and_the_pick_anew_after_more_trials(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    trials = [a_trial(0, EPOCHS, "finished"), a_trial(1, EPOCHS, "finished"), a_trial(2, 2)]
    places = []
    for more in ([], [a_trial(3, EPOCHS, "finished")]):
        tracker = open_tracker()
        tracker.sync([*trials, *more])
        tracker.close_search("FINISHED", verdict=None, artifacts=None)
        assert tracker.problems == []
        tags = {key: run.data.tags for key, run in children_of(client, name).items()}
        places.append({key: of["place"] for key, of in tags.items() if "place" in of})
        assert tags["search-0001"]["selection"] == "top-1 51.0 %"
        finals = {key: run.data.metrics for key, run in children_of(client, name).items()}
        assert finals["search-0001"]["final/val/top1"] == 0.51
    assert places == [
        {"search-0001": "1 ★ picked", "search-0000": "2"},
        {"search-0003": "1 ★ picked", "search-0001": "2", "search-0000": "3"},
    ]
    note = parent_of(client, name).data.tags["mlflow.note.content"]
    assert "no verdict yet" in note


def test_what_an_older_version_left_without_a_final_value_gets_it_when_it_is_closed_again(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    trial = a_trial(0, EPOCHS, "finished")
    with mock.patch.object(trial_fields, "final_points", return_value=[]):
        open_tracker().sync([trial])
    assert "final/val/top1" not in children_of(client, name)["search-0000"].data.metrics
    tracker = open_tracker()
    tracker.sync([trial])
    tracker.close_search("FINISHED", verdict=None, artifacts=None)
    assert children_of(client, name)["search-0000"].data.metrics["final/val/top1"] == 0.5


def test_the_address_of_the_newest_search_never_leads_to_a_view_without_runs(
    tmp_path: Path,
) -> None:
    uri = embedded_uri(tmp_path)

    def opened(name: str, stages: str = "search,attribute,confirm") -> Tracker:
        tracker = Tracker(
            None, store_dir=tmp_path, experiment="mine", run_name=name, patience=no_hurry()
        )
        time.sleep(0.002)  # Searches are told apart by their start in milliseconds.
        tracker.open_search(params={}, tags={"stages": stages}, dataset=None)
        return tracker

    def shown() -> str:
        kind, address = newest_url(uri, "http://here")
        assert kind == "search"
        if "viewStateShareKey" in address:
            (key,) = re.findall("viewStateShareKey=([^&]*)", address)
            (experiment,) = [e for e in MlflowClient(uri).search_experiments() if e.name == "mine"]
            value = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
            packed = base64.b64decode(value["state"].removeprefix("deflate;"))
            query = json.loads(zlib.decompress(packed))["searchFilter"]
            assert MlflowClient(uri).search_runs([experiment.experiment_id], query)
        return address

    opened("interrupted in the plan")
    experiments = MlflowClient(uri).search_experiments()
    (number,) = [e.experiment_id for e in experiments if e.name == "mine"]
    first = parent_in(uri, number, "interrupted in the plan")
    assert shown() == f"http://here/{run_url(number, first)}"
    opened("with trials").sync([a_trial(0, 2)])
    with_trials = chart_url(number, "with trials", base_url="http://here")
    assert shown() == with_trials
    opened("only a plan")
    assert shown() == with_trials
    diagnosis = opened("a diagnosis", "attribute,confirm")
    assert shown() == with_trials
    diagnosis.sync([a_trial(0, 2, stage="attribute")])
    assert shown() == chart_url(number, "a diagnosis", base_url="http://here")


def test_the_address_is_that_of_a_comparison_if_that_is_newer_and_did_not_fail(
    tmp_path: Path,
) -> None:
    uri = embedded_uri(tmp_path)
    assert newest_url(uri, "http://here") == ("", "http://here")

    def compared(name: str, status: Literal["FINISHED", "FAILED"]) -> str:
        time.sleep(0.002)  # They are told apart by their start in milliseconds.
        info = CompareInfo(compare_id=name, run_name=name, params={})
        CompareTracker(None, store_dir=tmp_path, info=info).close(status, [])
        (run,) = MlflowClient(uri).search_runs(["1"], f"tags.compare_id = '{name}'")
        return f"http://here/{run_url('1', run.info.run_id)}"

    failed = compared("broken", "FAILED")
    assert newest_url(uri, "http://here") == ("comparison", failed)
    finished = compared("done", "FINISHED")
    compared("broken again", "FAILED")
    assert newest_url(uri, "http://here") == ("comparison", finished)
    tracker = Tracker(
        None, store_dir=tmp_path, experiment="mine", run_name="s", patience=no_hurry()
    )
    tracker.open_search(params={}, tags={}, dataset=None)
    assert newest_url(uri, "http://here") == ("comparison", finished)
    tracker.sync([a_trial(0, 2)])
    kind, address = newest_url(uri, "http://here")
    assert (kind, "viewStateShareKey" in address) == ("search", True)


def parent_in(uri: str, number: str, name: str) -> str:
    (run,) = MlflowClient(uri).search_runs([number], f"tags.search_id = '{name}'")
    run_id: str = run.info.run_id
    return run_id


def test_two_searches_in_one_store_do_not_mix(
    store_dir: Path, client: MlflowClient, name: str
) -> None:
    ids = [f"{name} {number}" for number in range(2)]
    trackers = []
    for search_id in ids:
        tracker = Tracker(
            None,
            store_dir=store_dir,
            experiment="mine",
            run_name="same name",
            patience=no_hurry(),
        )
        tracker.open_search(params={}, tags={"search_id": search_id}, dataset=None)
        trackers.append(tracker)
    trackers[0].sync([a_trial(0, 1)])
    trackers[1].sync([a_trial(0, 2)])
    found = [children_of(client, search_id)["search-0000"] for search_id in ids]
    assert [steps(client, run) for run in found] == [[1], [1, 2]]


def test_the_environment_does_not_choose_another_experiment(
    store_dir: Path, client: MlflowClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    tracker = Tracker(None, store_dir=store_dir, experiment="mine", run_name=name)
    run_id = tracker.open_search(params={}, tags={}, dataset=None)
    experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    assert experiment.name == "mine"
    assert experiment.artifact_location == (store_dir / "artifacts").resolve().as_uri()


def test_a_database_given_by_address_keeps_its_artifacts_beside_it(
    store_dir: Path, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(store_dir / "mlflow.db", tmp_path / "own.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tracker = Tracker(
        "sqlite:///../own.db", store_dir=tmp_path / "unused", experiment="new", run_name="own"
    )
    run_id = tracker.open_search(params={}, tags={}, dataset=None)
    run = MlflowClient(f"sqlite:///{tmp_path}/own.db").get_run(run_id)
    assert run.info.artifact_uri == f"{(tmp_path / 'artifacts').as_uri()}/{run_id}/artifacts"
    assert not (tmp_path / "unused").exists()


def refused_uri(directory: Path) -> tuple[str | None, Path]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}", directory


def file_for_directory(directory: Path) -> tuple[str | None, Path]:
    (directory / "store").write_text("not a directory")
    return None, directory / "store"


def garbage_for_database(directory: Path) -> tuple[str | None, Path]:
    (directory / "mlflow.db").write_bytes(b"not a database" * 100)
    return None, directory


def directory_for_database(directory: Path) -> tuple[str | None, Path]:
    (directory / "mlflow.db").mkdir()
    return None, directory


def unknown_scheme(directory: Path) -> tuple[str | None, Path]:
    return "gopher://127.0.0.1", directory


@pytest.mark.parametrize(
    "break_it",
    [
        refused_uri,
        file_for_directory,
        garbage_for_database,
        directory_for_database,
        unknown_scheme,
    ],
)
def test_a_broken_store_costs_one_warning_and_little_time(
    break_it: Callable[[Path], tuple[str | None, Path]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started = time.monotonic()
    uri, directory = break_it(tmp_path)
    with caplog.at_level(logging.WARNING, logger="search"):
        tracker = Tracker(uri, store_dir=directory, experiment="mine", run_name="broken")
        assert tracker.open_search(params={}, tags={}, dataset=None) == ""
        for epoch in range(EPOCHS):
            tracker.trial_changed(a_trial(0, epoch))
        tracker.sync([a_trial(number, EPOCHS, "finished") for number in range(24)])
        tracker.close_search("FINISHED", verdict=a_verdict(), artifacts=tmp_path)
    assert [r.levelname for r in caplog.records if r.name.startswith("search")] == ["WARNING"]
    assert tracker.problems
    # MLflow itself would try for minutes; a busy machine has seconds to import and to log.
    assert time.monotonic() - started < 30.0


def test_a_server_that_does_not_answer_is_asked_four_times_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = Tracker(uri, store_dir=tmp_path, experiment="mine", run_name="silent")
        tracker.open_search(params={}, tags={}, dataset=None)
        for number in range(24):
            tracker.trial_changed(a_trial(number, 0))
            tracker.trial_changed(a_trial(number, EPOCHS, "finished"))
        tracker.close_search("FINISHED", verdict=None, artifacts=None)
        assert 1 <= num_waiting(silent) <= 4
    assert tracker.problems


def num_waiting(server: socket.socket) -> int:
    """Count the connections to a server that has accepted none yet."""
    server.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            number += 1
    return number


def test_a_store_that_comes_back_gets_everything(
    store_dir: Path, client: MlflowClient, tmp_path: Path
) -> None:
    now = 0.0
    in_the_way = tmp_path / "store"
    in_the_way.write_text("not a directory")
    patience = Patience(failures(), clock=lambda: now)
    tracker = Tracker(
        None, store_dir=in_the_way, experiment="mine", run_name="back", patience=patience
    )
    tracker.open_search(params={}, tags={}, dataset=None)
    tracker.sync([a_trial(0, EPOCHS, "finished"), a_trial(1, 1)])
    in_the_way.unlink()
    tracker.trial_changed(a_trial(1, 2))
    assert not in_the_way.exists(), "no pause after three failures in a row"
    shutil.copytree(store_dir, in_the_way)
    now = 61.0
    tracker.trial_changed(a_trial(1, 3))
    back = MlflowClient(embedded_uri(in_the_way))
    children = children_of(back, "back")
    assert steps(back, children["search-0000"]) == [1, 2, 3, 4, 5]
    assert steps(back, children["search-0001"]) == [1, 2, 3]
    assert tracker.problems == []


def test_a_run_that_a_late_server_made_twice_is_kept_once(
    open_tracker: Callable[[], Tracker], client: MlflowClient, name: str
) -> None:
    """A server that hung carries out what its client has given up and sent again."""
    trials = [a_trial(0, EPOCHS, "finished"), a_trial(1, 3)]
    open_tracker().sync(trials)
    parent = parent_of(client, name)
    for run in (parent, *children_of(client, name).values()):
        tags = {**run.data.tags, "outcome": "running"}
        for start in (run.info.start_time - 1, run.info.start_time + 1):
            client.create_run(run.info.experiment_id, start_time=start, tags=tags)
    again = open_tracker()
    again.sync(trials)
    again.close_search("KILLED", verdict=None, artifacts=None)

    assert parent_of(client, name).info.run_id == parent.info.run_id
    children = children_of(client, name)
    assert sorted(children) == ["search-0000", "search-0001"]
    assert steps(client, children["search-0000"]) == [1, 2, 3, 4, 5]
    assert steps(client, children["search-0001"]) == [1, 2, 3]


def test_a_run_that_is_made_twice_after_the_store_was_asked_is_found_at_the_end(
    open_tracker: Callable[[], Tracker],
    client: MlflowClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_run = MlflowClient.create_run
    given_up: list[Callable[[], Run]] = []

    def gives_up(self: MlflowClient, *args: Any, **said: Any) -> Run:
        if not given_up and said["tags"].get("trial_id") == "search-0000":
            given_up.append(partial(create_run, self, *args, **said))
            raise MlflowException("timed out")
        return create_run(self, *args, **said)

    monkeypatch.setattr(MlflowClient, "create_run", gives_up)
    tracker = open_tracker()
    for epochs in (1, 2):
        tracker.trial_changed(a_trial(0, epochs))
    late = given_up[0]()
    tracker.trial_changed(a_trial(0, EPOCHS, "finished"))
    tracker.close_search("FINISHED", verdict=None, artifacts=None)

    (child,) = children_of(client, name).values()
    assert child.info.run_id != late.info.run_id
    assert steps(client, child) == [1, 2, 3, 4, 5]
    assert tracker.problems == []


def test_a_bug_is_not_taken_for_a_broken_store(
    store_dir: Path, client: MlflowClient, name: str
) -> None:
    def buggy(recipe: Recipe) -> dict[str, float]:
        raise TypeError("a bug")

    tracker = Tracker(
        None, store_dir=store_dir, experiment="mine", run_name=name, told=Values(raw=buggy)
    )
    tracker.open_search(params={}, tags={}, dataset=None)
    with pytest.raises(TypeError, match="a bug"):
        tracker.trial_changed(a_trial(0, 1))


def test_before_the_search_is_open_it_may_be_closed_but_not_logged(store_dir: Path) -> None:
    tracker = Tracker(None, store_dir=store_dir, experiment="mine", run_name="early")
    tracker.close_search("KILLED", verdict=None, artifacts=None)
    with pytest.raises(RuntimeError, match="`open_search` must come before"):
        tracker.trial_changed(a_trial(0, 1))
