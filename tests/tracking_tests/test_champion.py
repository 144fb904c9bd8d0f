"""The champion is a confirmation run's own weights, loads without a pickle, and scores the same."""

import ast
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from search.records.provenance import ROOT
from search.records.trials import Record, Trial, TrialSpec
from search.tracking.champion import (
    ALIAS,
    Champion,
    Registered,
    champion_trial,
    log_champion,
    save_champion,
)
from search.tracking.open_store import embedded_uri, open_store, set_environment
from spaces.recipe import Recipe
from tests.support.toy_training import TOY, toy_dataset, unequal_dataset
from trainable import checkpoint
from trainable.models.saved_model import read_metadata
from trainable.trainer import Trainer

set_environment()

import mlflow  # noqa: E402  It reads the environment while it is imported.
from mlflow import MlflowClient  # noqa: E402

NAMES = ("red", "green", "blue")
SHOWN = np.asarray(toy_dataset().images)


def a_trial(
    role: str, block: int, *, status: str = "finished", at: str | None = "/somewhere", **more: Any
) -> Trial:
    metrics: Mapping[str, float] = more.pop("metrics", {"test/top1": 0.5})
    recipe: Recipe = more.pop("recipe", TOY)
    spec = TrialSpec(
        stage="confirm", number=block, role=role, recipe=recipe, block=block, evaluate_on="test"
    )
    records = tuple(
        Record(trial_id=spec.trial_id, stage="confirm", epoch=epoch, metrics=metrics)
        for epoch in range(1, recipe.epochs + 1)
    )
    return Trial(spec=spec, records=records, status=status, checkpoint=at)


def a_champion(model_file: Path, name: str) -> Champion:
    return Champion(
        model_file=model_file,
        images=SHOWN,
        name=name,
        description="Confirmed.",
        tags={"search_id": "r1"},
    )


def confirmed(folder: Path, recipe: Recipe) -> Trial:
    """A confirmation run as a worker leaves it: checkpoint after the last epoch's evaluation."""
    dataset = unequal_dataset()
    trainer = Trainer(recipe, dataset, dataset.split)
    for _ in range(recipe.epochs):
        trainer.train_epoch()
    metrics = trainer.evaluate("val", "test")
    folder.mkdir()
    checkpoint.save(trainer, folder)
    return a_trial("best", 0, recipe=recipe, metrics=metrics, at=str(folder))


# Which run


def test_the_first_seed_is_taken_and_not_the_best_one() -> None:
    trials = [
        a_trial("best", 2, metrics={"test/top1": 0.9}),
        a_trial("best", 1, metrics={"test/top1": 0.2}),
        a_trial("off", 0, recipe=replace(TOY, lr=1.0), metrics={"test/top1": 0.8}),
    ]
    chosen = champion_trial(trials, replace(TOY, seed=7))
    assert chosen is trials[1]


def test_a_run_without_weights_or_without_an_end_is_none() -> None:
    trials = [a_trial("best", 0, at=None), a_trial("best", 1, status="diverged")]
    assert champion_trial(trials, TOY) is None
    assert champion_trial([*trials, kept := a_trial("best", 2)], TOY) is kept


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_schedulefree"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.8])
@pytest.mark.parametrize("tau", [0.0, 1.5])
def test_the_saved_weights_score_what_the_run_was_confirmed_with(
    optimizer: str, ema_decay: float, tau: float, tmp_path: Path
) -> None:
    recipe = replace(TOY, optimizer=optimizer, logit_adjustment=tau)
    recipe = recipe.with_strengths(ema_decay=ema_decay)
    trial = confirmed(tmp_path / "state", recipe)
    path = save_champion(tmp_path, trial, class_names=NAMES)
    model = timm.create_model(TOY.model, num_classes=3)
    model.load_state_dict(load_file(path))
    metadata, dataset = read_metadata(path), toy_dataset()
    test = dataset.split.test
    images = torch.from_numpy(dataset.images[test]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(metadata[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = model.eval()((images - mean) / std)
    nll = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(dataset.labels[test])))
    assert trial.records[-1].metrics["test/nll"] == pytest.approx(nll, rel=1e-4)
    assert set(metadata["metrics"]) >= {"test/top1", "clean_train/nll"}
    assert not [name for name in metadata["metrics"] if name.startswith("val")]


def test_a_checkpoint_that_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no checkpoint in /somewhere"):
        save_champion(tmp_path, a_trial("best", 0), class_names=NAMES)


# In the store


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Trial, list[Registered]]:
    """A search's run that is over, with its champion logged twice."""
    home = tmp_path_factory.mktemp("champion")
    trial = confirmed(home / "state", TOY.with_strengths(ema_decay=0.8))
    path = save_champion(home, trial, class_names=NAMES)
    store = open_store(None, store_dir=home / "store", experiment="mine")
    parent = store.create_run("r1", {"role": "search"})
    store.end_run(parent, "FINISHED", end=1_800_000_000.0)
    client = MlflowClient(embedded_uri(home / "store"))
    versions = [
        log_champion(client, parent, a_champion(path, "my digits/test_byobnet")) for _ in range(2)
    ]
    return home / "store", parent, trial, versions


def test_the_champion_loads_by_alias_and_predicts_with_the_confirmed_accuracy(
    logged: tuple[Path, str, Trial, list[Registered]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_dir, _, trial, (registered, _) = logged
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(embedded_uri(store_dir))
    try:
        champion = mlflow.pyfunc.load_model(registered.uri)
    finally:
        mlflow.set_tracking_uri(before)
    dataset = toy_dataset()
    test = dataset.split.test
    predicted = champion.predict(dataset.images[test])
    assert predicted.shape == (len(test), 3)
    assert np.allclose(predicted.sum(axis=1), 1, atol=1e-5)
    top1 = (predicted.argmax(axis=1) == dataset.labels[test]).mean()
    assert top1 == trial.records[-1].metrics["test/top1"]
    nll = -np.log(predicted[np.arange(len(test)), dataset.labels[test]]).mean()
    assert nll == pytest.approx(trial.records[-1].metrics["test/nll"], rel=1e-4)
    assert registered.uri == f"models:/my-digits-test_byobnet@{ALIAS}"
    # Signature and example are there, and the example fits the signature.
    assert champion.metadata.signature.inputs.inputs[0].shape == (-1, 16, 16, 3)
    assert champion.metadata.get_input_schema().numpy_types() == [np.dtype("uint8")]
    example = champion.input_example
    assert np.array_equal(example, SHOWN[: len(example)])
    assert champion.predict(example).shape == (len(example), 3)
    assert champion.metadata.metadata["recipe"]["strengths"]["ema_decay"] == 0.8


def test_nothing_of_it_in_the_store_is_a_pickle(
    logged: tuple[Path, str, Trial, list[Registered]],
) -> None:
    files = [p for p in (logged[0] / "artifacts" / "models").rglob("*") if p.is_file()]
    # Python may keep what it compiled of the code when that was run; MLflow stores none of it.
    files = [path for path in files if path.parent.name != "__pycache__"]
    names = {p.name for p in files}
    assert {"model.safetensors", "champion_code.py", "MLmodel", "input_example.json"} <= names
    suffixes = {p.suffix for p in files}
    assert suffixes == {"", ".json", ".py", ".safetensors", ".txt", ".yaml"}
    assert not any(p.read_bytes()[:2] in (b"\x80\x04", b"PK") for p in files)


def test_logging_it_leaves_the_search_as_it_ended_and_makes_nothing_twice(
    logged: tuple[Path, str, Trial, list[Registered]],
) -> None:
    store_dir, parent, _, versions = logged
    client = MlflowClient(embedded_uri(store_dir))
    run = client.get_run(parent)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 1_800_000_000_000)
    assert run.outputs is not None
    (output,) = run.outputs.model_outputs
    assert versions[0] == versions[1]
    assert len(client.search_model_versions(f"name='{versions[0].name}'")) == 1
    version = client.get_model_version_by_alias(versions[0].name, ALIAS)
    assert (version.run_id, version.description) == (parent, "Confirmed.")
    model = client.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert json.loads(model.tags["mlflow.modelVersions"]) == [
        {"name": versions[0].name, "version": "1"}
    ]


def test_the_alias_moves_to_the_next_search_and_never_back(
    logged: tuple[Path, str, Trial, list[Registered]], tmp_path: Path
) -> None:
    store_dir, _, trial, _ = logged
    store = open_store(None, store_dir=store_dir, experiment="mine")
    client = MlflowClient(embedded_uri(store_dir))
    path = save_champion(tmp_path, trial, class_names=NAMES)
    champion = a_champion(path, "another")
    older, newer = (store.create_run(name, {"role": "search"}) for name in ("r2", "r3"))
    for run_id, number, holder in ((older, "1", "1"), (newer, "2", "2"), (older, "1", "2")):
        assert log_champion(client, run_id, champion).version == number
        assert str(client.get_model_version_by_alias("another", ALIAS).version) == holder


def test_the_code_in_the_store_needs_nothing_of_this_project_for_a_model_of_timm() -> None:
    source = ROOT / "search" / "tracking" / "champion_code.py"
    outside_functions = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    imported = {
        name.partition(".")[0]
        for node in outside_functions
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert not imported & {"search", "spaces", "trainable"}
