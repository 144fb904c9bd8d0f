"""A store that takes less gets less: the search and its numbers depend on nothing that may fail."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.report.figures.catalogue import figures, write_figures
from search.tracking import view
from search.tracking.open_store import embedded_uri, set_environment
from search.tracking.tracker import DatasetInfo, Tracker
from search.verdict.schema import Verdict
from tests.support.finished_run import (
    a_plan,
    all_trials,
    an_analysis,
)
from tests.support.no_hurry import no_hurry
from tests.support.programs.forked import Forked
from tests.support.programs.tracked_search import TRIALS

set_environment()

from mlflow import MlflowClient  # noqa: E402  It reads the environment while it is imported.
from mlflow.entities import Run  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

DATASET = DatasetInfo(name="digits", digest="d" * 40, num_train=3, num_val=2, num_test=1)
VERDICT: Verdict = an_analysis().verdict


@pytest.fixture(scope="module")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files that a search uploads: a page, a table, a figure."""
    path = tmp_path_factory.mktemp("run")
    (path / "report.html").write_text("<html></html>")
    (path / "trials.csv").write_text("trial_id\nsearch-0000\n")
    shown = figures(a_plan(), all_trials(), an_analysis())
    write_figures(path / "figures", {"dials": shown["dials"]})
    return path


def searched(store_dir: Path, run_dir: Path, search_id: str, *, run_name: str = "r1") -> Tracker:
    """A whole search, from its first call to its last."""
    tracker = Tracker(
        None, store_dir=store_dir, experiment="mine", run_name=run_name, patience=no_hurry()
    )
    tags = {"search_id": search_id, "search": f"m on digits, {run_name}", "dataset": "digits"}
    tracker.open_search(params={"seed": "0"}, tags=tags, dataset=DATASET)
    tracker.sync(TRIALS)
    tracker.close_search("FINISHED", verdict=VERDICT, artifacts=run_dir)
    return tracker


def runs_of(store_dir: Path, search_id: str) -> tuple[Run, dict[str, Run]]:
    """The one parent and its children by trial; a run that is there twice is a failure."""
    client = MlflowClient(embedded_uri(store_dir))
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    query = f"tags.search_id = '{search_id}'"
    found = client.search_runs([experiment.experiment_id], query, max_results=1000)
    (parent,) = [run for run in found if run.data.tags.get("role") == "search"]
    children = {r.data.tags["trial_id"]: r for r in found if "trial_id" in r.data.tags}
    assert len(children) == len(found) - 1
    return parent, children


def require_numbers(store_dir: Path, search_id: str) -> Run:
    """All that a search measured and found is there; the page may lack the rest."""
    parent, children = runs_of(store_dir, search_id)
    assert parent.info.status == "FINISHED"
    assert set(children) == {trial.spec.trial_id for trial in TRIALS}
    ends = {"finished": "FINISHED", "stopped": "KILLED"}
    for trial in TRIALS:
        child = children[trial.spec.trial_id]
        assert child.info.status == ends[trial.status]
        assert child.data.metrics["val/top1"] == round(trial.last("val/top1") or -1.0, 4)
    assert parent.data.metrics["confirmed/gain_top1"] == 0.83
    assert parent.data.tags["turn_down"] == "label_smoothing, ema_decay"
    assert f"**{VERDICT.sentence}**" in parent.data.tags["mlflow.note.content"]
    return parent


REFUSED = {
    "set_experiment_tag": ["describe the experiment", "set the saved view"],
    "log_inputs": ["name the dataset"],
    "log_artifact": ["copy the artifacts"],
    "log_text": ["copy the artifacts"],
}


@pytest.mark.parametrize("calls", [[call] for call in REFUSED] + [list(REFUSED)])
def test_a_store_that_refuses_a_call_still_gets_the_numbers_and_the_verdict(
    store_dir: Path, run_dir: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: MlflowClient, *args: Any, **kwargs: Any) -> None:
        raise MlflowException("no such endpoint")

    for call in calls:
        monkeypatch.setattr(MlflowClient, call, refused)
    search_id = "without " + " ".join(calls)
    tracker = searched(store_dir, run_dir, search_id)
    expected = sorted({what for call in calls for what in REFUSED[call]})
    (problem,) = tracker.problems  # Whatever has the same cause is one line.
    named, cause = problem.removeprefix("could not ").split(": ", 1)
    assert sorted(named.split(", ")) == expected
    assert cause == "MlflowException: no such endpoint"
    require_numbers(store_dir, search_id)

    # When the store is better, or newer, writing the run out again adds what is missing.
    monkeypatch.undo()
    assert searched(store_dir, run_dir, search_id).problems == []
    parent = require_numbers(store_dir, search_id)
    assert parent.inputs is not None
    assert len(parent.inputs.dataset_inputs) == 1
    client = MlflowClient(embedded_uri(store_dir))
    paths = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "figures", "tables", "environment.txt"} <= paths
    tags = client.get_experiment(parent.info.experiment_id).tags
    assert f"mlflow.sharedViewState.{view.view_id(search_id)}" in tags
    assert "Turn down label_smoothing, ema_decay" in tags["mlflow.note.content"]


def test_a_version_that_logs_models_otherwise_costs_the_model_and_nothing_else(
    store_dir: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*args: Any, **kwargs: Any) -> None:
        raise TypeError("log_champion() got an unexpected keyword argument")

    monkeypatch.setattr("search.tracking.champion.log_champion", changed)
    tracker = Tracker(
        None, store_dir=store_dir, experiment="mine", run_name="r1", patience=no_hurry()
    )
    tracker.open_search(params={}, tags={"search_id": "no model"}, dataset=DATASET)
    tracker.sync(TRIALS)
    champion: Any = object()  # Nobody looks at it before it is logged.
    tracker.close_search("FINISHED", verdict=VERDICT, artifacts=run_dir, champion=champion)
    assert tracker.problems == [
        "could not register the champion: OtherVersionError: TypeError: log_champion() got an "
        "unexpected keyword argument"
    ]
    assert (
        "champion model"
        not in require_numbers(store_dir, "no model").data.tags["mlflow.note.content"]
    )


def test_a_renamed_run_directory_is_the_same_search_under_its_new_name(
    store_dir: Path, run_dir: Path
) -> None:
    searched(store_dir, run_dir, "to rename", run_name="old")
    before, _ = runs_of(store_dir, "to rename")
    assert searched(store_dir, run_dir, "to rename", run_name="new").problems == []
    parent = require_numbers(store_dir, "to rename")
    assert parent.info.run_id == before.info.run_id
    assert (before.info.run_name, parent.info.run_name) == ("old", "new")
    _, children = runs_of(store_dir, "to rename")
    titles = {run.data.tags["search"] for run in (parent, *children.values())}
    assert titles == {"m on digits, new"}


def test_a_name_that_a_person_gave_stays(store_dir: Path, run_dir: Path) -> None:
    searched(store_dir, run_dir, "named by hand")
    parent, _ = runs_of(store_dir, "named by hand")
    client = MlflowClient(embedded_uri(store_dir))
    client.set_tag(parent.info.run_id, "mlflow.runName", "the good one")
    searched(store_dir, run_dir, "named by hand")
    parent, _ = runs_of(store_dir, "named by hand")
    assert parent.info.run_name == "the good one"


def test_runs_that_a_person_put_under_a_search_stay_as_they_are(
    store_dir: Path, run_dir: Path
) -> None:
    searched(store_dir, run_dir, "looked into")
    parent, _ = runs_of(store_dir, "looked into")
    client = MlflowClient(embedded_uri(store_dir))
    tags = {"mlflow.parentRunId": parent.info.run_id}
    experiment_id = parent.info.experiment_id
    own = [client.create_run(experiment_id, tags=tags).info.run_id for _ in range(2)]
    searched(store_dir, run_dir, "looked into")
    for run_id in own:
        run = client.get_run(run_id)
        assert run.info.lifecycle_stage == "active"
        assert "search" not in run.data.tags


def test_a_search_that_died_without_a_word_is_closed_by_the_next_process(
    store_dir: Path, run_dir: Path
) -> None:
    tracker = Tracker(
        None, store_dir=store_dir, experiment="mine", run_name="r1", patience=no_hurry()
    )
    tracker.open_search(params={}, tags={"search_id": "died"}, dataset=DATASET)
    half = replace(TRIALS[0], status="running", records=TRIALS[0].records[:2])
    tracker.sync([half, TRIALS[1]])
    parent, children = runs_of(store_dir, "died")
    assert parent.info.status == "RUNNING"
    assert {run.info.status for run in children.values()} == {"RUNNING", "FINISHED"}
    assert searched(store_dir, run_dir, "died").problems == []
    require_numbers(store_dir, "died")


NUM_DRIVERS = 3


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[list[Forked]]:
    """Processes that search into one new store at the same time, report by report."""
    started = [
        Forked(
            "tests.support.programs.tracked_search",
            [str(tmp_path / "new"), f"search {number}"],
            has_one_output=False,
        )
        for number in range(NUM_DRIVERS)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_searches_at_once_in_one_new_store_neither_lock_nor_mix(
    drivers: list[Forked], tmp_path: Path
) -> None:
    said = [process.communicate(timeout=300) for process in drivers]
    assert [process.returncode for process in drivers] == [0] * NUM_DRIVERS, said
    assert [out for out, _ in said] == ["[]\n"] * NUM_DRIVERS, said
    client = MlflowClient(embedded_uri(tmp_path / "new"))
    for number in range(NUM_DRIVERS):
        require_numbers(tmp_path / "new", f"search {number}")
        _, children = runs_of(tmp_path / "new", f"search {number}")
        for trial in TRIALS:
            run_id = children[trial.spec.trial_id].info.run_id
            steps = [p.step for p in client.get_metric_history(run_id, "train/loss")]
            assert sorted(steps) == list(range(1, trial.epoch + 1))
