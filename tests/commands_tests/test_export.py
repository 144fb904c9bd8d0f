"""A run's recipe files are written again from its journal alone, for any size, and come back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.commands.export import FILES, export_run, exported_recipe
from search.plan.origin import decided_by_evidence, origin_of, read_origin
from search.recipes.rescale import rescaled_recipe
from search.recipes.yaml_file import read_recipe
from search.records.files import only_driver
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task
from spaces.units import to_effective
from tests.support import finished_run
from tests.support.toy_training import write_run

IMAGENET = {"num_train": 1_281_167, "epochs": 300, "batch_size": 1024}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs", exported="scaled")


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def task_of(recipe: Recipe, num_train: int) -> Task:
    return Task.of(recipe, num_train=num_train, num_classes=2, num_blocks=9)


@pytest.mark.parametrize("exported", ["best", "scaled", "reference"])
def test_a_run_that_was_moved_writes_the_very_same_files_again(
    exported: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "there", exported=exported)
    before = contents(run)
    (tmp_path / "here").mkdir()
    moved = Path(shutil.move(run, tmp_path / "here" / run.name))
    for name in FILES:
        (moved / name).unlink()
    export_run(moved)
    assert contents(moved) == before


def test_the_exported_recipe_is_the_one_that_the_verdict_names(tmp_path: Path) -> None:
    found = {
        role: exported_recipe(path := write_run(tmp_path / role, exported=role), read_origin(path))
        for role in ("best", "scaled", "reference")
    }
    # Everything off is what wins the planted search.
    assert found == {
        "best": finished_run.OFF,
        "scaled": finished_run.SCALED,
        "reference": finished_run.REFERENCE,
    }


def rescaled(run: Path) -> Recipe:
    return read_recipe(run / "rescaled.yaml", defaults=None)


def test_a_rescaled_export_keeps_what_the_strengths_amount_to_and_says_what_moved(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = read_recipe(run / "best.yaml", defaults=None)
    before = contents(run)
    export_run(run, **IMAGENET)
    assert contents(run) == before
    moved = rescaled(run)
    assert (moved.epochs, moved.batch_size) == (300, 1024)
    old, new = task_of(original, 300), task_of(moved, 1_281_167)
    for name in ("weight_decay", "ema_decay"):
        then = to_effective(name, getattr(original.strengths, name), old)
        assert to_effective(name, getattr(moved.strengths, name), new) == pytest.approx(then)
    verdict = read_origin(run).verdict
    assert verdict is not None
    decided = decided_by_evidence(verdict, original.strengths.as_dict())
    _, notes = rescaled_recipe(original, old, **IMAGENET, decided=decided)
    out = capsys.readouterr().out
    text = (run / "rescaled.yaml").read_text()
    assert notes
    for note in notes:
        assert note in out
        assert f"# {note}" in text
    assert f"make train CONFIG={run / 'rescaled.yaml'}" in out


def test_what_the_verdict_turned_down_is_not_turned_up_again_by_more_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs", exported="scaled")
    path = run / "verdict.json"
    verdict = json.loads(path.read_text())
    assert read_recipe(run / "best.yaml", defaults=None).strengths.label_smoothing == 0.0
    for turn, kept in (("down", 0.0), ("inconclusive", 0.1), ("leave", 0.0)):
        said = {"turn": turn, "reference": 0.1, "recommended": 0.0, "effect": {"val/top1": {}}}
        verdict["dials"] = [{"strength": "label_smoothing", **said}]
        path.write_text(json.dumps(verdict))
        export_run(run, num_train=3000)
        assert rescaled(run).strengths.label_smoothing == kept, turn
        out = capsys.readouterr().out
        assert ("label_smoothing 0 stays: the verdict" in out) == (kept == 0.0)
        assert ("; 0.1 is the default there" in out) == (kept == 0.0)


def test_timm_and_torchvision_get_the_moved_recipe_too(run: Path) -> None:
    export_run(run, **IMAGENET)
    args = yaml.safe_load((run / "rescaled.timm.yaml").read_text())
    moved = rescaled(run)
    assert args["batch_size"] == 1024
    assert args["epochs"] + args["warmup_epochs"] == 300
    assert args["weight_decay"] == pytest.approx(moved.strengths.weight_decay)
    # The rate of the first step hangs on the steps of an epoch of ImageNet.
    steps = args["warmup_epochs"] * (1_281_167 // 1024)
    assert args["warmup_lr"] == pytest.approx(moved.lr / (steps + 1))
    assert "--batch-size 1024" in (run / "rescaled.torchvision.txt").read_text()


def test_each_rescaling_begins_with_the_original(run: Path) -> None:
    export_run(run, epochs=30)
    once = (run / "rescaled.yaml").read_bytes()
    export_run(run, **IMAGENET)
    assert (run / "rescaled.yaml").read_bytes() != once
    export_run(run, epochs=30)
    assert (run / "rescaled.yaml").read_bytes() == once


def test_whoever_trains_a_rescaled_recipe_learns_for_how_many_images_it_is(run: Path) -> None:
    for sizes, expected in (({}, 300), (IMAGENET, 1_281_167), ({"epochs": 30}, 300), ({}, 300)):
        export_run(run, **sizes)
        origin = origin_of(run / ("rescaled.yaml" if sizes else "best.yaml"))
        assert origin is not None
        assert origin.num_train == expected
    export_run(run, **IMAGENET)
    original = origin_of(run / "best.yaml")
    assert original is not None
    assert original.num_train == 300


def test_files_that_other_trainers_read_otherwise_are_said_in_their_recipe_and_printed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_run(run)
    assert "with this dataset" not in (run / "best.timm.yaml").read_text()
    assert "timm:" not in capsys.readouterr().out
    plan = json.loads((run / "plan.json").read_text())
    plan["data"]["files"]["endings"] = {".webp": 300, ".gif": 8, ".jpg": 2}
    (run / "plan.json").write_text(json.dumps(plan))
    export_run(run)
    out = capsys.readouterr().out
    timm_yaml = (run / "best.timm.yaml").read_text()
    told = "300 .webp, 8 .gif of this dataset would be left out, and 2 images found"
    assert "# What timm does differently with this dataset:\n# - It reads files" in timm_yaml
    assert told in timm_yaml
    assert yaml.safe_load(timm_yaml)["model"]
    torchvision = "8 .gif of this dataset would be left out, and 302 images found"
    assert torchvision in (run / "best.torchvision.txt").read_text()
    assert [line.partition(":")[0] for line in out.splitlines() if "left out" in line] == [
        "  timm",
        "  torchvision",
    ]
    assert told in out


def test_a_plan_of_an_older_version_is_exported_without_such_words(run: Path) -> None:
    before = contents(run)
    plan = json.loads((run / "plan.json").read_text())
    del plan["data"]["files"], plan["data"]["images_per_class"]
    (run / "plan.json").write_text(json.dumps(plan))
    export_run(run)
    assert contents(run) == before


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"num_train": 0}, "`num_train >= 1` must hold"),
        ({"epochs": 0}, "`1 <= epochs` must hold"),
        ({"batch_size": -3}, "batch_size"),
        ({"num_train": 40, "epochs": 1}, "total_steps >= 10"),
    ],
)
def test_an_impossible_size_is_refused_and_nothing_is_written(
    run: Path, sizes: dict[str, Any], says: str
) -> None:
    before = contents(run)
    with pytest.raises(InputError, match=says):
        export_run(run, **sizes)
    assert contents(run) == before
    assert not (run / "export.json").exists()


def test_a_run_without_a_verdict_is_told_to_be_resumed(run: Path) -> None:
    (run / "verdict.json").unlink()
    with pytest.raises(InputError, match=rf"make resume RUN={run}$"):
        export_run(run)


def test_a_run_that_another_process_works_on_is_left_alone(run: Path) -> None:
    before = contents(run)
    with only_driver(run), pytest.raises(InputError, match="Another process works on"):
        export_run(run, **IMAGENET)
    assert contents(run) == before


def test_a_directory_of_another_version_is_refused(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"schema": "config/0"}))
    with pytest.raises(InputError, match=r"config\.json is not a config/1 file"):
        export_run(run)
