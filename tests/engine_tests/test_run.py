"""What the adapters between Ray Tune and the conductor make of Tune's calls."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.train._internal.session import _TrainingResult

from search.engine import ray_private
from search.engine import run as tune_run
from search.engine.border import config_of
from search.engine.conductor import Conductor, Wait
from search.engine.run import Resources, start_ray, stop_ray
from search.engine.scheduler import ConductedScheduler
from search.engine.searcher import CheckpointNotes, ConductedSearcher
from search.engine.storage import lent_weights
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec
from search.stages.listed_stage import ListedStage
from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.on_test.lent_weights import write_weights
from trainable.run_spec import RunSpec, Soup


def nothing_saved() -> Any:
    return SimpleNamespace(checkpoint_manager=SimpleNamespace(latest_checkpoint_result=None))


def a_failing_trial(spec: TrialSpec, status: str, *, may_fail: bool) -> Any:
    return SimpleNamespace(
        config=config_of(Trial(spec=spec), checkpoint=None),
        status=status,
        should_recover=lambda: may_fail,
        max_failures=2,
        error_file=None,
    )


@pytest.mark.parametrize(("in_tune", "may_fail"), [("ERROR", True), ("RUNNING", False)])
def test_a_trial_has_failed_only_when_tune_does_not_start_it_again(
    tmp_path: Path, in_tune: str, may_fail: bool
) -> None:
    journal = Journal(tmp_path)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe())
    journal.start(spec)
    scheduler = ConductedScheduler(Conductor(journal, []), tmp_path)
    scheduler.on_trial_error(None, a_failing_trial(spec, in_tune, may_fail=may_fail))
    journal.close()
    assert journal.trials[spec.trial_id].status == ("running" if may_fail else "failed")


def test_a_trial_that_tune_gives_up_too_early_is_given_out_again_as_often_as_it_may_fail(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe())
    stage = ListedStage("search", journal, lambda batch: [spec] if batch == 0 else [])
    conductor = Conductor(journal, [lambda: stage])
    scheduler = ConductedScheduler(conductor, tmp_path)
    for _ in range(3):
        given = conductor.next_trial()
        assert isinstance(given, Trial)
        assert given.spec == spec
        scheduler.on_trial_error(None, a_failing_trial(spec, "PENDING", may_fail=True))
    assert conductor.next_trial() is Wait.NO_MORE
    journal.close()
    assert journal.trials[spec.trial_id].status == "failed"


def test_a_result_is_not_lost_with_the_weights_that_were_to_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    spec = TrialSpec(
        stage="confirm", number=0, role="best", recipe=Recipe(epochs=1), keep_weights=True
    )
    journal.start(spec)
    conductor = Conductor(journal, [])
    metrics = {"test/top1": 0.5}
    conductor.report(Record(trial_id=spec.trial_id, stage="confirm", epoch=1, metrics=metrics))
    conductor.failed(spec.trial_id, "the disk is full")
    journal.close()
    assert journal.trials[spec.trial_id].status == "finished"


@pytest.mark.parametrize("keeps", [True, False])
def test_the_checkpoints_of_a_trial_that_is_over_go_unless_it_keeps_its_weights(
    tmp_path: Path, keeps: bool
) -> None:
    deleted: list[str] = []
    spec = TrialSpec(stage="confirm", number=0, role="best", recipe=Recipe(), keep_weights=keeps)
    storage = SimpleNamespace(
        storage_filesystem=SimpleNamespace(delete_dir=deleted.append), trial_fs_path="here"
    )
    config = config_of(Trial(spec=spec), checkpoint=None)
    trial = SimpleNamespace(
        config=config, storage=storage, checkpoint="here/1", run_metadata=nothing_saved()
    )
    journal = Journal(tmp_path)
    journal.start(spec)
    notes = CheckpointNotes(Conductor(journal, []), str(tmp_path))
    notes.on_trial_complete(0, [], trial)
    journal.close()
    assert deleted == ([] if keeps else ["here"])


def spec_of_a_cook(directory: Path, statuses: Sequence[str]) -> RunSpec:
    """What a trial is told that averages its weights with those of trials that ended so."""
    recipe = Recipe(epochs=1)
    journal = Journal(directory)
    for number, status in enumerate(statuses):
        lender = TrialSpec(
            stage="confirm", number=number, role="off", recipe=recipe, lends_weights=True
        )
        journal.start(lender)
        if status == "finished":
            journal.report(
                Record(
                    trial_id=lender.trial_id,
                    stage="confirm",
                    epoch=1,
                    metrics={"val/nll": 0.25 + number},
                )
            )
        journal.end(lender.trial_id, status)
    names = tuple(journal.trials)
    cook = TrialSpec(
        stage="confirm", number=3, role="advised", recipe=recipe, soup_of=names, soup_metric="nll"
    )
    stage = ListedStage("confirm", journal, lambda batch: [cook] if batch == 0 else [])
    conductor = Conductor(journal, [lambda: stage])
    searcher = ConductedSearcher(conductor, lambda: 1, storage="s3://bucket/ray?region=x")
    spec = RunSpec.from_dict(searcher.suggest("first")["spec"])
    journal.close()
    return spec


def test_a_trial_is_told_of_the_weights_of_those_that_reached_their_end(tmp_path: Path) -> None:
    spec = spec_of_a_cook(tmp_path, ("finished", "diverged", "finished"))
    assert spec.soup == Soup(
        locations={
            name: f"s3://bucket/ray/weights/{name}.safetensors?region=x"
            for name in ("confirm-0000", "confirm-0002")
        },
        scores={"confirm-0000": -0.25, "confirm-0002": -2.25},
        metric="nll",
        sign=-1.0,
    )
    assert spec.weights_to is None


@pytest.mark.parametrize("other", ["failed", "stopped"])
def test_there_is_no_soup_where_a_trial_that_did_not_diverge_has_no_weights(
    tmp_path: Path, other: str
) -> None:
    """Averages without it would be of other recipes than those of other seeds."""
    assert spec_of_a_cook(tmp_path, ("finished", other, "finished")).soup is None


def test_weights_that_cannot_be_deleted_end_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: str) -> None:
        raise OSError("the bucket is away")

    monkeypatch.setattr("search.engine.searcher.delete_file", refused)
    journal = Journal(tmp_path)
    cook = TrialSpec(
        stage="confirm",
        number=1,
        role="advised",
        recipe=Recipe(epochs=1),
        soup_of=("confirm-0000",),
    )
    journal.start(cook)
    notes = CheckpointNotes(Conductor(journal, []), str(tmp_path))
    config = config_of(Trial(spec=cook), checkpoint=None)
    trial = SimpleNamespace(config=config, checkpoint=None, run_metadata=nothing_saved())
    notes.on_trial_complete(0, [], trial)
    journal.close()
    assert "the bucket is away" in caplog.text


def test_weights_that_were_lent_go_once_they_are_averaged_and_no_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    recipe = Recipe(epochs=1)
    names = [f"confirm-{number:04d}" for number in range(3)]
    for number in range(3):
        journal.start(
            TrialSpec(stage="confirm", number=number, role="off", recipe=recipe, lends_weights=True)
        )
        write_weights(lent_weights(str(tmp_path), names[number]), {"w": torch.zeros(1)})
    cook = TrialSpec(
        stage="confirm", number=3, role="advised", recipe=recipe, soup_of=tuple(names[:2])
    )
    journal.start(cook)
    notes = CheckpointNotes(Conductor(journal, []), str(tmp_path))
    for spec in (journal.trials[names[0]].spec, cook):
        left = {path.stem for path in (tmp_path / "weights").iterdir()}
        assert left == set(names)
        config = config_of(Trial(spec=spec), checkpoint=None)
        trial = SimpleNamespace(config=config, checkpoint=None, run_metadata=nothing_saved())
        notes.on_trial_complete(0, [], trial)
    notes.on_trial_complete(0, [], trial)  # After a crash, once more.
    journal.close()
    assert [path.stem for path in (tmp_path / "weights").iterdir()] == names[2:]


@pytest.mark.parametrize("name", ["../x-0001", "confirm-1", "", "confirm-0001/.."])
def test_a_journal_cannot_name_weights_elsewhere(name: str) -> None:
    with pytest.raises(InputError, match="`soup_of` must hold names of trials"):
        TrialSpec(stage="confirm", number=0, role="advised", recipe=Recipe(), soup_of=(name,))


@pytest.mark.parametrize("keeps", [True, False])
def test_tune_keeps_no_results_of_a_trial_that_is_over(tmp_path: Path, keeps: bool) -> None:
    spec = TrialSpec(stage="confirm", number=0, role="best", recipe=Recipe(), keep_weights=keeps)
    config = config_of(Trial(spec=spec), checkpoint=None)
    trial: Any = tune.experiment.Trial(
        "toy", stub=True, config=config, evaluated_params={"lr": 0.125}
    )
    for epoch in (1, 2):
        trial.update_last_result({"training_iteration": epoch, "metrics": {"val/top1": 0.375}})
    folder = tmp_path / "trial"
    folder.mkdir()
    trial.storage = SimpleNamespace(
        storage_filesystem=LocalFileSystem(), trial_fs_path=str(folder), storage_fs_path=""
    )
    saved = tune.Checkpoint(str(folder))
    result = _TrainingResult(saved, {"metrics": {"val/top1": 0.375}})
    trial.run_metadata.checkpoint_manager.register_checkpoint(result)
    assert "0.125" in str(trial.__dict__)
    assert "0.375" in trial.run_metadata.get_json_state()
    journal = Journal(tmp_path)
    journal.start(spec)
    CheckpointNotes(Conductor(journal, []), "").on_trial_complete(0, [], trial)
    journal.close()
    assert "0.125" not in str(trial.__dict__)
    assert "0.375" not in trial.run_metadata.get_json_state()
    assert trial.last_result == {"trial_id": trial.trial_id}
    assert result.metrics == {}
    assert trial.checkpoint is saved
    assert folder.exists() == keeps
    assert trial.config == config


def test_a_trial_keeps_one_checkpoint_without_the_run_asking_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the run to ask, each checkpoint of a trial would have Tune write its state of all."""
    asked: dict[str, Any] = {}
    # It asks Ray for its addresses, which would start one that no test ends.
    monkeypatch.setattr(tune_run, "ClusterWatch", lambda *watched, **how: nullcontext())
    monkeypatch.setattr(tune, "with_parameters", lambda trainable, **given: trainable)
    monkeypatch.setattr(tune, "with_resources", lambda trainable, resources: trainable)
    monkeypatch.setattr(
        tune, "Tuner", lambda trainable, **given: asked.update(given) or SimpleNamespace(fit=list)
    )
    resources = Resources(cpus_per_trial=1, gpus_per_trial=0, ray_address=None, storage="")
    conductor = Conductor(Journal(tmp_path), [])
    dataset: Any = None
    tune_run.run(conductor, dataset=dataset, resources=resources, run_dir=tmp_path)
    config = asked["run_config"].checkpoint_config
    assert config.num_to_keep is None
    trial: Any = tune.experiment.Trial("toy", stub=True, checkpoint_config=copy.copy(config))
    notes, _ = asked["run_config"].callbacks
    notes.on_trial_start(0, [], trial)
    for number in (1, 2):
        folder = tmp_path / f"checkpoint_{number}"
        folder.mkdir()
        saved = tune.Checkpoint(str(folder))
        trial.run_metadata.checkpoint_manager.register_checkpoint(_TrainingResult(saved, {}))
    assert [path.name for path in tmp_path.glob("checkpoint_*")] == ["checkpoint_2"]


def test_the_records_of_a_search_share_the_names_of_their_metrics(tmp_path: Path) -> None:
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe(epochs=5))
    journal = Journal(tmp_path)
    journal.start(spec)
    scheduler = ConductedScheduler(Conductor(journal, []), tmp_path)
    for epoch in (1, 2):
        name = "".join(["metrics/val/", "top1"])  # A new object each time, as from a worker.
        result = {"epoch": epoch, name: 0.5}
        scheduler.on_trial_result(None, SimpleNamespace(config={"trial_id": spec.trial_id}), result)
    journal.close()
    read = Journal(tmp_path)
    records = [*journal.trials[spec.trial_id].records, *read.trials[spec.trial_id].records]
    assert len(records) == 4
    assert len({id(name) for record in records for name in record.metrics}) == 1


@pytest.mark.parametrize("saves", [True, False])
def test_what_an_earlier_session_left_of_a_trial_goes_once_it_is_not_needed(
    tmp_path: Path, saves: bool
) -> None:
    earlier, other, newer = (tmp_path / name for name in ("s1/trial", "s1/other", "s2/trial"))
    for folder in (earlier, other, newer):
        (folder / "checkpoint_1").mkdir(parents=True)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe())
    journal = Journal(tmp_path)
    journal.start(spec)
    storage = SimpleNamespace(
        storage_filesystem=LocalFileSystem(),
        storage_fs_path=str(tmp_path),
        trial_fs_path=str(newer),
    )
    config = config_of(Trial(spec=spec), checkpoint=f"file://{earlier}/checkpoint_1")
    trial = SimpleNamespace(
        config=config, storage=storage, checkpoint=None, run_metadata=nothing_saved()
    )
    notes = CheckpointNotes(Conductor(journal, []), str(tmp_path))
    if saves:
        trial.checkpoint = SimpleNamespace(path=str(newer / "checkpoint_1"))
        notes.on_checkpoint(0, [], trial, trial.checkpoint)
        assert not earlier.exists()
        assert newer.exists()
        notes.on_checkpoint(0, [], trial, trial.checkpoint)
    else:
        assert earlier.exists()
    notes.on_trial_complete(0, [], trial)
    assert not earlier.exists()
    assert newer.exists() == (not saves)
    assert other.exists()
    journal.close()


@pytest.mark.parametrize(
    ("location", "is_used"),
    [
        ("{storage}/session-1/search-0000/checkpoint_1", True),
        ("{storage}/../theirs/checkpoint_1", False),
        ("/srv/theirs/checkpoint_1", False),
        ("s3://theirs/checkpoint_1", False),
        ("http://theirs.example/checkpoint_1", False),
    ],
)
def test_a_trial_goes_on_from_checkpoints_of_its_own_run_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, location: str, is_used: bool
) -> None:
    storage = str(tmp_path / "ray")
    location = location.format(storage=storage)
    spec = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe(epochs=3))
    journal = Journal(tmp_path)
    journal.start(spec)
    journal.checkpoint(spec.trial_id, location)
    stage = ListedStage("search", journal, lambda batch: [spec] if batch == 0 else [])
    searcher = ConductedSearcher(Conductor(journal, [lambda: stage]), lambda: 1, storage=storage)
    assert searcher.suggest("0")["spec"]["checkpoint"] == (location if is_used else None)
    assert ("search-0000 starts again from its first epoch" in caplog.text) == (not is_used)
    journal.close()


@pytest.mark.parametrize("keeps", [True, False])
def test_what_ray_leaves_of_a_cluster_goes_with_it_unless_the_run_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    keeps: bool,
) -> None:
    others = tmp_path / "ray-others" / "r" / "session_1"
    others.mkdir(parents=True)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    started: list[Path] = []

    def start(place: Path) -> None:
        logs = place / "session_2026-11-24_02-00-00_000000_7" / "logs"
        logs.mkdir(parents=True)
        (logs / "raylet.out").write_text("log")
        started.append(logs)

    monkeypatch.setattr(ray_private, "start_cluster", start)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    down: list[bool] = []
    monkeypatch.setattr(ray, "shutdown", lambda: down.append(started[-1].exists()))
    resources = Resources(cpus_per_trial=1, gpus_per_trial=0, ray_address=None, storage="")
    for _ in range(2):  # As for a run after a run in one process.
        assert start_ray(resources) == 2.0
        stop_ray(keeps_logs=keeps)
    assert down == [True, True]
    assert len(list(tmp_path.glob("ray-*/r/session_2*/logs/raylet.out"))) == (2 if keeps else 0)
    told = caplog.text.split("Ray's own logs are in ")[1:]
    assert len(told) == (2 if keeps else 0)
    assert all((Path(text.split()[0]) / "raylet.out").exists() for text in told)
    assert others.exists()
