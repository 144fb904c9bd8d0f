"""A full run trains once on all but the test images, survives interruption, loads in plain timm."""

import json
import logging
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from search.commands.errors import RunFailed, RunInterrupted
from search.commands.train import plan as train_plan
from search.commands.train.command import Place, train
from search.commands.train.job import Asked, TrainJob
from search.commands.train.plan import make_job
from search.plan.origin import read_origin
from search.recipes.yaml_file import read_recipe, write_recipe
from search.records.provenance import ROOT
from search.tracking.open_store import embedded_uri, open_store, set_environment
from search.tracking.run_info import open_search
from search.tracking.store import Store
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import to_effective
from tests.support import finished_run
from tests.support.toy_training import (
    NUM_TEST,
    NUM_TRAIN,
    NUM_VAL,
    TOY,
    toy_dataset,
    write_run,
)
from trainable.data.datasets import Dataset
from trainable.ema import OWN, EmaBank
from trainable.models.build import create_model, describe_model
from trainable.models.saved_model import loading_code, read_metadata, save_model, shipped_weights
from trainable.precision import Diverged
from trainable.trainer import Trainer

set_environment()

from mlflow import MlflowClient  # noqa: E402  It reads the environment while it is imported.

NOWHERE = "http://127.0.0.1:9"
"""A store that refuses at once: what is tested without it costs no database."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.getLogger("search.tracking.patience").setLevel(logging.ERROR)
    yield
    logging.getLogger("search.tracking.patience").setLevel(logging.NOTSET)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def dataset(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Stands in for every dataset; remembers how it was asked for."""
    made = toy_dataset()
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: made)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs")


@pytest.fixture(scope="module")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def place(root: Path, name: str | None, *, store_dir: Path | None = None) -> Place:
    return Place(
        run_dir=root,
        run_name=name,
        tracking_uri=None if store_dir else NOWHERE,
        store_dir=store_dir or root / "unused",
        experiment="mine",
    )


def trained(run: Path, name: str, **asked: Any) -> Path:
    train(Asked(config=run / "toy.yaml", **asked), place(run.parent, name))
    return run.parent / name


def job_of(path: Path, **asked: Any) -> tuple[TrainJob, Dataset]:
    return make_job(Asked(config=path, **asked), name="x")


def interrupt_in_epoch(
    monkeypatch: pytest.MonkeyPatch, epoch: int, error: Exception | type
) -> None:
    """Have the epoch after ``epoch`` epochs raise."""
    real = Trainer.train_epoch

    def train_epoch(self: Trainer) -> dict[str, float]:
        if self.epoch == epoch:
            raise error
        return real(self)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)


def epochs_trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by each epoch that is trained from now on."""
    seen: list[int] = []
    real = Trainer.train_epoch

    def train_epoch(self: Trainer) -> dict[str, float]:
        seen.append(self.epoch)
        return real(self)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    return seen


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "records.jsonl").read_text().splitlines()]


def load_plainly(path: Path, num_classes: int = 3) -> torch.nn.Module:
    model = timm.create_model(TOY.model, num_classes=num_classes)
    model.load_state_dict(load_file(path / "model.safetensors"))
    return model.eval()


# What is trained


def test_training_and_validation_images_are_trained_on_and_test_images_are_not(run: Path) -> None:
    before = toy_dataset().split
    job, pooled = job_of(run / "toy.yaml")
    assert set(pooled.split.train) == {*before.train, *before.val}
    assert not set(pooled.split.train) & set(before.test)
    assert np.array_equal(pooled.split.test, before.test)
    assert (job.num_train, job.num_val, job.num_test) == (NUM_TRAIN + NUM_VAL, NUM_VAL, NUM_TEST)


@pytest.mark.parametrize("scale", [10, 25, 60])
def test_strengths_keep_what_they_amount_to_in_the_longer_run(
    run: Path, scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 60 times 36 images are 2160: across the size from which label smoothing is a default.
    large = toy_dataset(scale)
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: large)
    job, _ = job_of(run / "toy.yaml")
    found_on = Task.of(TOY, num_train=300, num_classes=3, num_blocks=2)
    assert job.task.num_train == scale * 36
    for name in ("weight_decay", "ema_decay", "warmup_fraction"):
        then = to_effective(name, getattr(TOY.strengths, name), found_on)
        now = to_effective(name, getattr(job.recipe.strengths, name), job.task)
        assert now == pytest.approx(then), name
        assert any(note.startswith(f"{name} ") for note in job.notes)
    for name in ("label_smoothing", "drop_path_rate"):
        assert getattr(job.recipe.strengths, name) == getattr(TOY.strengths, name)
        assert not any(note.startswith(name) for note in job.notes)
    assert f"300 images and {found_on.total_steps} steps" in job.notes[0]


def test_what_a_search_turned_off_stays_off(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = toy_dataset(60)
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: large)
    write_recipe(run / "off.yaml", replace(TOY, strengths=Strengths()))
    job, _ = job_of(run / "off.yaml")
    assert job.recipe.strengths == Strengths()
    assert job.notes == ()


def test_a_recipe_that_lies_in_no_run_is_trained_as_it_is_written(tmp_path: Path) -> None:
    write_recipe(tmp_path / "mine.yaml", TOY)
    job, _ = job_of(tmp_path / "mine.yaml", dataset="digits")
    assert job.recipe == replace(TOY, dropout=0.0)  # The architecture's own, said.
    assert job.notes == ()
    assert job.from_search is None


def test_flags_win_over_the_file_and_strengths_follow_the_length_they_set(tmp_path: Path) -> None:
    written = replace(TOY, min_lr=3e-5).with_strengths(ema_decay=0.8)
    write_recipe(tmp_path / "mine.yaml", written)
    job, _ = job_of(
        tmp_path / "mine.yaml", dataset="digits", epochs=8, lr=6e-3, seed=5, amp_dtype="bfloat16"
    )
    recipe = job.recipe
    assert (recipe.epochs, recipe.lr, recipe.seed) == (8, 6e-3, 5)
    assert recipe.amp_dtype == "bfloat16"
    assert recipe.min_lr == pytest.approx(6e-5)
    # Twice the steps at twice the rate pull four times as hard.
    assert recipe.strengths.weight_decay == pytest.approx(0.05 / 4)
    assert recipe.strengths.ema_decay == pytest.approx(0.9)


def test_a_recipe_exported_for_another_size_is_meant_for_that_size(run: Path) -> None:
    (run / "export.json").write_text(json.dumps({"schema": "export/1", "num_train": 36}))
    (run / "rescaled.yaml").write_text((run / "toy.yaml").read_text())
    job, _ = job_of(run / "rescaled.yaml")
    assert job.recipe.strengths == TOY.strengths
    job, _ = job_of(run / "toy.yaml")  # Of this one the size has nothing to say.
    assert job.recipe.strengths != TOY.strengths


def test_the_data_are_those_of_the_run_unless_others_are_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[tuple[Any, ...]] = []

    def load(name: str, *, data_dir: Path, num_train: int | None, seed: int, **_: Any) -> Dataset:
        asked_for.append((name, num_train, seed))
        return toy_dataset()

    config = json.loads((run / "config.json").read_text()) | {"num_train": 300, "seed": 7}
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(train_plan, "load_dataset", load)
    job_of(run / "toy.yaml")
    job_of(run / "toy.yaml", num_train=200, seed=9)
    job_of(run / "toy.yaml", dataset="stl10")
    # The seed of the training run does not choose other images than the search had.
    assert asked_for == [("digits", 300, 7), ("digits", 200, 7), ("stl10", None, 0)]


def test_a_folder_of_another_tool_with_a_config_json_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["ViT"]}')
    (tmp_path / "plan.json").write_text("{}")
    write_recipe(tmp_path / "mine.yaml", TOY)
    assert job_of(tmp_path / "mine.yaml", dataset="digits")[0].from_search is None


# What comes out


def test_a_run_leaves_a_model_that_plain_timm_loads_and_that_scores_what_was_measured(
    run: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained(run, "whole")
    measured = json.loads((path / "metrics.json").read_text())
    model = load_plainly(path)
    metadata = read_metadata(path / "model.safetensors")
    test = dataset.split.test
    images = torch.from_numpy(dataset.images[test]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(metadata[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = model((images - mean) / std)
    labels = torch.from_numpy(dataset.labels[test])
    top1 = float((logits.argmax(1) == labels).double().mean())
    assert measured["metrics"]["test/top1"] == top1
    nll = float(torch.nn.functional.cross_entropy(logits, labels))
    assert measured["metrics"]["test/nll"] == pytest.approx(nll, rel=1e-4)
    assert (measured["num_train"], measured["num_test"], measured["seed"]) == (36, 12, 0)
    by_class = measured["per_class_top1"]["shipped"]
    assert list(by_class) == ["red", "green", "blue"]
    for k, value in enumerate(by_class.values()):
        assert value == float((logits.argmax(1) == labels)[labels == k].double().mean())
    assert measured["per_class_top1"]["raw"].keys() == by_class.keys()
    assert {"test/top5", "test/brier", "test/ece", "test_raw/nll"} <= measured["metrics"].keys()
    low, high = measured["ci95"]["test/top1"]
    assert 0 <= low < top1 <= high <= 1
    assert not [name for name in measured["metrics"] if name.startswith("val")]
    out = capsys.readouterr().out
    assert "36 images of digits (24 train + 12 validation)" in out
    assert "epoch 4/4: train loss" in out
    assert str(path / "model.safetensors") in out
    assert not list(path.glob("**/*.pt"))


def test_the_file_says_all_that_is_needed_to_use_the_model(run: Path) -> None:
    path = trained(run, "said")
    metadata = read_metadata(path / "model.safetensors")
    assert metadata["model"] == "test_byobnet"
    assert metadata["model_args"] == {"num_classes": 3}
    assert metadata["class_names"] == ["red", "green", "blue"]
    assert metadata["image_size"] == 16
    written = Recipe.from_dict(metadata["recipe"])
    assert written == read_recipe(path / "recipe.yaml", defaults=None)
    assert metadata["metrics"] == json.loads((path / "metrics.json").read_text())["metrics"]


def test_the_card_tells_data_recipe_verdict_and_what_numbers_rest_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(run / "best.yaml", TOY)
    train(Asked(config=run / "best.yaml", seed=3), place(run.parent, "card"))
    card = (run.parent / "card" / "model_card.md").read_text()
    for said in (
        "24 + 12 = 36",
        "| tested on | 12 |",
        "seed 3",
        "The search `r1`. Its verdict: Turn down label_smoothing from 0.1 to 0.",
        "94.0% as the mean of 3 fresh seeds, trained on 300 images each",
        "model.load_state_dict(load_file(",
        "ema_decay: ",
        "red, green, blue. That is the order of the dataset itself",
        "| test calibration error | ",
        "Test top-1 by class, lowest first: ",
    ):
        assert said in card
    assert "the search measured 94.0%" in " ".join(capsys.readouterr().out.split())


def test_numbers_of_the_search_are_not_lent_to_another_recipe_beside_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (trained(run, "other") / "model_card.md").read_text()
    assert "not the recipe that it exported" in card
    assert "94.0%" not in card
    assert "the search measured" not in capsys.readouterr().out


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_what_ships_is_the_average_if_there_is_one_else_the_raw_weights(
    dataset: Dataset, ema_decay: float
) -> None:
    recipe = TOY.with_strengths(ema_decay=ema_decay)
    trainer = Trainer(recipe, dataset, dataset.split)
    trainer.train_epoch()
    raw = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    shipped = trainer.shipped_weights()
    expected = trainer.ema.state_dict()["averages"][OWN] if ema_decay else raw
    assert shipped.keys() == raw.keys()
    assert all(torch.equal(shipped[name], expected[name]) for name in raw)
    weight = next(iter(raw))
    assert torch.equal(shipped[weight], raw[weight]) == (ema_decay == 0.0)
    # Asking for them leaves the run as it was, and they do not change with it.
    assert all(torch.equal(tensor, raw[n]) for n, tensor in trainer.model.state_dict().items())
    kept = shipped[weight].clone()
    trainer.train_epoch()
    assert torch.equal(shipped[weight], kept)


@pytest.mark.parametrize(
    ("model", "image_size"),
    [
        ("test_byobnet", 16),
        ("test_convnext", 32),
        ("test_efficientnet", 16),
        ("test_resnet", 16),
        ("test_vit", 32),
        ("test_vit_relpos", 64),
        ("resnet18_cifar", 16),
    ],
)
def test_the_code_in_the_card_loads_the_weights_of_any_model(
    model: str, image_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(TOY, model=model, image_size=image_size)
    if not describe_model(model).takes_drop_path:
        recipe = recipe.with_strengths(drop_path_rate=0.0)
    made = create_model(recipe, num_classes=3)
    ema = EmaBank(made, {OWN: 0.9})
    weights = shipped_weights(made, ema, logit_adjustment=0.0, log_prior=torch.zeros(3))
    names = ("a", "b", "c")
    save_model(
        tmp_path / "model.safetensors", weights, recipe=recipe, class_names=names, metrics={}
    )
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(loading_code(recipe, num_classes=3), found)
    images = torch.rand(2, 3, image_size, image_size)
    with torch.no_grad():
        assert torch.equal(found["model"](images), made.eval()(images))


def test_the_three_lines_of_the_readme_load_the_model_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text()
    lines = [line.strip() for line in readme.splitlines() if line.startswith("    model")]
    shown = [
        line for line in lines if line.startswith(("model = timm", "model.load", "model.eval"))
    ]
    assert len(shown) == 3
    recipe = replace(TOY, model="tf_efficientnet_lite0", image_size=32)
    made = create_model(recipe, num_classes=10)
    ema = EmaBank(made, {OWN: 0.9})
    weights = shipped_weights(made, ema, logit_adjustment=0.0, log_prior=torch.zeros(10))
    (tmp_path / "runs" / "<name>").mkdir(parents=True)
    path = tmp_path / "runs" / "<name>" / "model.safetensors"
    save_model(path, weights, recipe=recipe, class_names=tuple("0123456789"), metrics={})
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec("import timm, safetensors.torch\n" + "\n".join(shown), found)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found["model"](images), made.eval()(images))


# Interruption


@pytest.mark.parametrize("with_config", [True, False])
def test_an_interrupted_run_goes_on_bit_for_bit_from_its_checkpoint(
    run: Path, with_config: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(run, "whole")
    monkeypatch.setattr("search.commands.train.run.CHECKPOINT_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 2, KeyboardInterrupt)
        with pytest.raises(RunInterrupted, match=r"make train RUN_NAME=cut RUN_DIR="):
            trained(run, "cut")
    assert not (run.parent / "cut" / "metrics.json").exists()
    seen = epochs_trained(monkeypatch)
    asked = Asked(config=run / "toy.yaml") if with_config else None
    train(asked, place(run.parent, "cut"))
    assert seen == [2, 3]
    ours, theirs = (load_file(p / "model.safetensors") for p in (run.parent / "cut", whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    records, expected = records_of(run.parent / "cut"), records_of(whole)
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    assert [r["train/loss"] for r in records] == [r["train/loss"] for r in expected]


def test_a_run_that_lost_its_last_epochs_repeats_them_and_reports_each_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 2, KeyboardInterrupt)  # Before any checkpoint was due.
        with pytest.raises(RunInterrupted, match="Go on with"):
            trained(run, "lost")
    seen = epochs_trained(monkeypatch)
    path = trained(run, "lost")
    assert seen == [0, 1, 2, 3]
    assert [r["epoch"] for r in records_of(path)] == [1, 2, 3, 4]


def test_a_run_whose_journal_lost_an_epoch_starts_over_and_reports_each_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is ahead of what is known."""
    monkeypatch.setattr("search.commands.train.run.CHECKPOINT_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 3, KeyboardInterrupt)
        with pytest.raises(RunInterrupted, match="Go on with"):
            trained(run, "lost")
    records = run.parent / "lost" / "records.jsonl"
    first, *rest = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(bytes(len(first) - 1) + b"\n" + b"".join(rest))
    seen = epochs_trained(monkeypatch)
    path = trained(run, "lost")
    assert seen == [0, 1, 2, 3]
    assert [r["epoch"] for r in records_of(path)] == [1, 2, 3, 4]


def test_being_terminated_is_being_interrupted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(RunInterrupted, match="Go on with"):
        trained(run, "ended")


def test_a_finished_run_is_shown_again_and_not_trained_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained(run, "done")
    before = (path / "model.safetensors").read_bytes()
    capsys.readouterr()
    seen = epochs_trained(monkeypatch)
    train(None, place(run.parent, "done"))
    assert seen == []
    assert "is trained already" in (out := capsys.readouterr().out)
    assert "test top-1" in out
    assert (path / "model.safetensors").read_bytes() == before


def test_a_diverged_run_says_what_to_change_and_not_to_go_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_epoch(monkeypatch, 1, Diverged(7))
    with pytest.raises(RunFailed, match=r"Diverged at optimizer step 7.*lower LR") as failed:
        trained(run, "up")
    assert "make train" not in str(failed.value)


def test_a_failure_is_in_the_log_and_says_how_to_go_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_epoch(monkeypatch, 1, MemoryError("no room"))
    with pytest.raises(RunFailed, match=r"no room The log is .*log\.txt; go on with: make train"):
        trained(run, "full")
    assert "no room" in (run.parent / "full" / "log.txt").read_text()


# What is refused, before anything is written


def test_another_recipe_under_a_used_name_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(run, "taken")
    with pytest.raises(InputError, match="begun with another `epochs`"):
        trained(run, "taken", epochs=9)
    with pytest.raises(InputError, match="begun with another `dataset`"):
        trained(run, "taken", dataset="stl10")


def test_a_run_does_not_go_on_with_other_images(
    run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 2, KeyboardInterrupt)
        with pytest.raises(RunInterrupted, match="Go on with"):
            trained(run, "cut")
    changed = replace(dataset, digest="1" * 32)
    monkeypatch.setattr(train_plan, "load_dataset", lambda *args, **more: changed)
    with pytest.raises(InputError, match="has changed since this training began"):
        trained(run, "cut")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"epochs": 0}, "`1 <= epochs` must hold"),
        ({"lr": -1.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"amp_dtype": "float8"}, "amp_dtype"),
        ({"epochs": 1}, "total_steps >= 10"),
        ({"dataset": "no-such"}, "no-such"),
    ],
)
def test_wrong_flags_are_refused_and_nothing_is_written(
    run: Path, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        trained(run, "wrong", **asked)
    assert not (run.parent / "wrong").exists()


def test_a_model_that_cannot_be_made_is_refused_and_nothing_is_written(
    run: Path, tmp_path: Path
) -> None:
    write_recipe(run / "toy.yaml", replace(TOY, pretrained=True))
    with pytest.raises(InputError, match="test_byobnet"):
        trained(run, "wrong")
    assert not (run.parent / "wrong").exists()


def test_a_timm_file_is_trained_with_what_could_not_be_kept_of_it_said(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    args = (
        "model: ghostnet_050\nopt: adamw\nsched: cosine\nlr: 0.001\nimg_size: 32\ncrop_pct: 0.9\n"
    )
    path.write_text(args + "drop: 0.3\nepochs: 20\nbatch_size: 32\n")
    job, _ = job_of(path, dataset="digits")
    assert job.recipe.dropout == 0.3
    assert any("`crop_pct` = 0.9" in note for note in job.notes)
    assert any("a dropout of 0.3 (`dropout`; its own is 0.2)" in note for note in job.notes)
    path.write_text(args + "initial_checkpoint: ./weights.pth\nepochs: 20\nbatch_size: 32\n")
    with pytest.raises(InputError, match=r"starts from the weights in \./weights\.pth"):
        job_of(path, dataset="digits")


@pytest.mark.parametrize(("dropout", "said"), [(None, False), (0.2, False), (0.0, True)])
def test_plain_timm_is_told_a_dropout_that_is_not_the_architectures_own(
    dropout: float | None, said: bool
) -> None:
    recipe = replace(TOY, model="ghostnet_050", dropout=dropout)
    assert ("drop_rate=0.0" in loading_code(recipe, num_classes=3)) == said
    assert ("drop_rate" in loading_code(recipe, num_classes=3)) == said


def test_a_recipe_that_lies_in_no_run_needs_a_dataset(tmp_path: Path) -> None:
    write_recipe(tmp_path / "mine.yaml", TOY)
    with pytest.raises(InputError, match=r"`--dataset` must be given: .*mine\.yaml lies in"):
        train(Asked(config=tmp_path / "mine.yaml"), place(tmp_path, "x"))


def test_a_recipe_file_that_is_not_there_is_named_before_its_dataset_is_missed(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: there is no such file\.$"):
        train(Asked(config=tmp_path / "none.yaml"), place(tmp_path, "x"))
    assert not (tmp_path / "x").exists()


def test_a_directory_that_holds_something_else_is_left_alone(run: Path) -> None:
    with pytest.raises(InputError, match="holds something else"):
        trained(run, run.name)


def test_without_a_recipe_only_a_run_that_was_begun_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`--config` must be given"):
        train(None, place(tmp_path, "never"))
    with pytest.raises(InputError, match="`--config` must be given"):
        train(None, place(tmp_path, None))


def test_a_run_without_a_name_is_named_after_its_recipe(run: Path) -> None:
    train(Asked(config=run / "toy.yaml"), place(run.parent, None))
    (made,) = run.parent.glob("train-*")
    assert made.name.startswith("train-r1-")


# Tracking


class _Heard:
    """Takes what a search tells its tracker when it begins."""

    def open_search(self, **said: Any) -> str:
        self.tags = said["tags"]
        return ""


@pytest.fixture
def store(store_dir: Path) -> Store:
    return open_store(None, store_dir=store_dir, experiment="mine")


def runs_named(store: Store, store_dir: Path, name: str) -> list[Any]:
    client = MlflowClient(embedded_uri(store_dir))
    return list(client.search_runs([store.experiment_id], f"attributes.run_name = '{name}'"))


def test_a_run_is_tracked_once_and_linked_to_its_search(
    run: Path, store: Store, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Any = _Heard()
    open_search(heard, read_origin(run).config, finished_run.a_plan())
    search = {"role": "search", "search_id": heard.tags["search_id"], "search": "a title"}
    parent = store.create_run("r1", search)
    asked, where = Asked(config=run / "toy.yaml"), place(run.parent, "tracked", store_dir=store_dir)
    with monkeypatch.context() as patch:
        interrupt_in_epoch(patch, 2, KeyboardInterrupt)
        with pytest.raises(RunInterrupted, match="Go on with"):
            train(asked, where)
    (tracked,) = runs_named(store, store_dir, "tracked")
    assert tracked.info.status == "KILLED"
    for _ in range(2):  # Gone on with, then only shown again.
        train(asked, where)
    (tracked,) = runs_named(store, store_dir, "tracked")
    assert tracked.info.status == "FINISHED"
    tags = tracked.data.tags
    assert (tags["role"], tags["search_run_id"], tags["search"]) == ("train", parent, "a title")
    assert tags["search_id"] == heard.tags["search_id"]
    assert f"#/experiments/{store.experiment_id}/runs/{parent}" in tags["mlflow.note.content"]
    client = MlflowClient(embedded_uri(store_dir))
    measured = json.loads((run.parent / "tracked" / "metrics.json").read_text())["metrics"]
    for name, value in measured.items():
        (point,) = client.get_metric_history(tracked.info.run_id, name)
        assert point.value == pytest.approx(value, abs=1e-4)
        assert point.step == TOY.epochs
    losses = client.get_metric_history(tracked.info.run_id, "train/loss")
    assert [point.step for point in losses] == [1, 2, 3, 4]
    assert float(tracked.data.params["ema_decay"]) > 0
    assert tracked.inputs.dataset_inputs[0].dataset.name == "digits"
    files = {file.path for file in client.list_artifacts(tracked.info.run_id)}
    assert files == {"model_card.md", "recipe.yaml", "metrics.json"}


def test_a_run_whose_search_the_store_does_not_know_is_tracked_all_the_same(
    run: Path, store: Store, store_dir: Path
) -> None:
    other = write_run(run.parent, name="it's elsewhere")
    train(Asked(config=other / "toy.yaml"), place(run.parent, "alone", store_dir=store_dir))
    (tracked,) = runs_named(store, store_dir, "alone")
    assert tracked.info.status == "FINISHED"
    assert "search_run_id" not in tracked.data.tags


def test_a_store_that_is_not_there_costs_a_line_and_not_the_training(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained(run, "untracked")
    assert (path / "metrics.json").exists()
    assert "Tracking: could not open the store" in capsys.readouterr().out


def test_a_store_that_comes_late_gets_everything(run: Path, store: Store, store_dir: Path) -> None:
    trained(run, "late")
    train(None, place(run.parent, "late", store_dir=store_dir))
    (tracked,) = runs_named(store, store_dir, "late")
    assert tracked.info.status == "FINISHED"
    client = MlflowClient(embedded_uri(store_dir))
    losses = client.get_metric_history(tracked.info.run_id, "train/loss")
    assert [point.step for point in losses] == [1, 2, 3, 4]
    assert "test/top1" in tracked.data.metrics


# The same without the command


def loop_of_the_docs() -> str:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    (loop,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return str(loop)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_loop_of_the_docs_trains_what_the_command_trains_to_the_last_bit(
    run: Path,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seed: int,
) -> None:
    command = trained(run, "final", seed=seed)
    capsys.readouterr()
    monkeypatch.setattr("trainable.data.datasets.load_dataset", lambda *args, **more: dataset)
    monkeypatch.chdir(tmp_path)
    by_hand: dict[str, Any] = {}

    exec(loop_of_the_docs(), by_hand)

    trainer = by_hand["trainer"]
    weights = trainer.shipped_weights()
    expected = load_file(command / "model.safetensors")
    assert set(weights) == set(expected)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    measured = json.loads((command / "metrics.json").read_text())["metrics"]
    found = trainer.evaluate("test")
    assert {name: found[name] for name in measured} == measured
    *epochs, last = capsys.readouterr().out.splitlines()
    records = (command / "records.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train/loss"] for line in records]
    assert [float(line.split()[1]) for line in epochs] == losses
    assert float(last) == measured["test/top1"]


def test_another_seed_is_another_model(run: Path) -> None:
    first, second = (load_file(trained(run, f"s{s}", seed=s) / "model.safetensors") for s in (0, 7))
    assert not all(torch.equal(first[name], second[name]) for name in first)
