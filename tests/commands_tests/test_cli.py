"""Wrong input is one line on stderr, exit code 2, and nothing is written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.cli import cli, main
from search.recipes.yaml_file import read_recipe
from tests.support.toy_training import write_run


def write_folder(root: Path, *, classes: int = 2, images: int = 6) -> Path:
    generator = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(images):
            pixels = generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


WHOLE_TABLE = "image,label\n" + "".join(
    f"class{label}/{number}.png,{label}\n" for label in range(2) for number in range(6)
)


def complaint(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    runs = tmp_path / "runs"
    code = main([*arguments, "--run-dir", str(runs), "--data-dir", str(tmp_path / "data")])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert not runs.exists()
    return code, captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "`--dataset` must be given"),
        (["--dataset", "no-such-thing"], "no-such-thing"),
        (["--dataset", "small-transfer", "--model", "resnet1888"], "resnet18"),
        (["--dataset", "small-transfer", "--reference", "imagnet"], "imagenet"),
        (["--dataset", "small-transfer", "--epochs", "0"], "`1 <= epochs` must hold, but got 0"),
        (["--dataset", "small-transfer", "--epochs", "1"], "epochs"),
        (["--dataset", "small-transfer", "--lr", "-1"], "lr"),
        (["--dataset", "small-transfer", "--lr", "nan"], "lr"),
        (["--dataset", "small-transfer", "--num-samples", "two"], "num-samples"),
        (["--dataset", "small-transfer", "--num-samples", "1"], "`num_samples >= 4` must hold"),
        (["--dataset", "small-transfer", "--num-train", "1000000"], "num_train"),
        (["--dataset", "small-transfer", "--metric", "f1"], "`metric` must be one of"),
        (["--dataset", "small-transfer", "--grace-period", "1"], "`grace_period >= 5` must hold"),
        (["--dataset", "small-transfer", "--keep", "0"], "`0 < keep <= 1` must hold, but got 0"),
        (["--dataset", "small-transfer", "--set", "label_smoothing=0.3"], "name=low:high"),
        (["--dataset", "small-transfer", "--set", "ema_decay=0:0.9999"], "ema_decay"),
        (["--dataset", "small-transfer", "--fix", "dropout=0"], "dropout"),
        (["--dataset", "small-transfer", "--no-such-flag", "1"], "--no-such-flag"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = complaint(["run", *arguments], tmp_path, capsys)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert says in err


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        ("image,label\nclass0/0.png,\n", (), "row 2, column 'label' must not be empty"),
        ("image,label\nclass0/9.png,a\n", (), "'class0/9.png' is not in"),
        ("image,species\nclass0/0.png,a\n", (), "must have a column of the label"),
        ("image,species\nclass0/0.png,a\n", ("--columns", "label=x"), "names 'x' for the label"),
        (WHOLE_TABLE, ("--group-by", "("), "must be a regular expression"),
        (WHOLE_TABLE, ("--group-by", "(x)"), "finds none in 'class0/0.png'"),
        (WHOLE_TABLE, ("--group-by", "(class)"), "of the 1 groups"),
        ("image,label\nclass0/0.png,a\n", (), "two classes at least"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan", "diagnose"])
def test_a_wrong_table_of_images_is_one_line_and_nothing_is_written(
    command: str,
    text: str,
    flags: tuple[str, ...],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = write_folder(tmp_path / "images") / "labels.csv"
    table.write_text(text)
    code, err = complaint([command, "--dataset", str(table), *flags], tmp_path, capsys)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert says in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("strengths: {dropout: 0.1}", "dropout"),
        ("strengths: {label_smoothing: 1.5}", "`0 <= label_smoothing < 1` must hold"),
        ("epochs: fifteen", "epochs"),
        ("colour: blue", "colour"),
        ("lr: [1, 2]", "lr"),
        ("{{{", "YAML"),
        ("", "empty"),
    ],
)
def test_a_wrong_recipe_file_is_named_with_its_fault(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    arguments = ["run", "--dataset", "small-transfer", "--reference", str(path)]
    code, err = complaint(arguments, tmp_path, capsys)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert says in err
    assert "mine.yaml" in err


def test_a_class_with_too_few_images_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(tmp_path / "images")
    for extra in sorted((root / "class1").iterdir())[2:]:
        extra.unlink()
    code, err = complaint(["plan", "--dataset", str(root)], tmp_path, capsys)
    assert code == 2
    assert "class1" in err
    assert len(err.splitlines()) == 1


def test_an_empty_folder_and_a_run_that_is_not_there_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    code, err = complaint(["plan", "--dataset", str(tmp_path / "empty")], tmp_path, capsys)
    assert code == 2
    assert len(err.splitlines()) == 1
    code = main(["resume", "--run", "nothing", "--run-dir", str(tmp_path)])
    assert code == 2
    assert "There is no run 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["resume", "export"])
def test_a_training_run_is_told_from_a_search(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.json").write_text("{}")
    assert main([command, "--run", "mine", "--run-dir", str(tmp_path)]) == 2
    assert "is a training run" in (err := capsys.readouterr().err)
    assert "make train RUN_NAME=mine" in err


def test_an_existing_run_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.json").write_text("{}")
    arguments = ["run", "--dataset", "small-transfer", "--run-name", "mine"]
    code = main([*arguments, "--run-dir", str(tmp_path / "runs")])
    assert code == 2
    assert f"make resume RUN={tmp_path / 'runs' / 'mine'}" in capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "config.json").read_text() == "{}"


def test_help_answers_without_heavy_imports() -> None:
    code = (
        "import sys, search.cli; print(any(m in sys.modules for m in ('torch', 'ray', 'mlflow')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "`--config` must be given"),
        (["train", "--run-name", "x"], "There is no training run"),
        (["train", "--run-name", "x", "--epochs", "3"], "`--config` must be given"),
        (["train", "--config", "nothing.yaml"], "there is no such file"),
        (["train", "--config", "{mine}"], "`--dataset` must be given"),
        (["train", "--config", "nothing.yaml", "--dataset", "digits"], "there is no such file"),
        (["train", "--config", "{mine}", "--dataset", "digitz"], "Did you mean 'digits'?"),
        (["train", "--config", "{mine}", "--dataset", "digits", "--lr", "nan"], "lr"),
        (["train", "--config", "{mine}", "--dataset", "digits", "--num-train", "3"], "num_train"),
        (["train", "--config", "{wrong}", "--dataset", "digits"], "resnet1888"),
        (["export"], "`--run` must be given"),
        (["export", "--run", "nothing"], "There is no run 'nothing'"),
        (["export", "--run", "nothing", "--epochs", "many"], "'many' is not a valid integer"),
        (["diff"], "`--config` must be given"),
        (["diff", "--config", "{mine}", "--reference", "imagnet"], "`reference` must be"),
        (["schedule"], "`--config` must be given"),
        (["schedule", "--config", "{mine}", "--num-train", "-1"], "`num_train >= 1` must hold"),
    ],
)
def test_wrong_input_of_the_commands_behind_a_search_is_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("epochs: 3")
    (tmp_path / "wrong.yaml").write_text("model: resnet1888")
    before = sorted(tmp_path.iterdir())
    code = main([word.format(mine="mine.yaml", wrong="wrong.yaml") for word in arguments])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert says in captured.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_is_exported_by_name_or_path_and_moved_as_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs")
    assert main(["export", "--run", "r1", "--run-dir", str(tmp_path / "runs")]) == 0
    assert str(run / "best.timm.yaml") in capsys.readouterr().out
    sizes = ["--num-train", "1281167", "--epochs", "300", "--batch-size", "1024"]
    assert main(["export", "--run", str(run), *sizes]) == 0
    assert "epochs 10 becomes 300, as asked." in capsys.readouterr().out
    assert read_recipe(run / "best.yaml", defaults=None).batch_size == 32
    assert read_recipe(run / "rescaled.yaml", defaults=None).batch_size == 1024


def test_differences_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("optimizer: adam")
    arguments = ["diff", "--config", str(tmp_path / "mine.yaml"), "--reference", "convnext_tiny"]
    assert main(arguments) == 0
    assert "1. plain Adam" in capsys.readouterr().out
    for flag in (["--json"], ["--json", "1"]):  # As a person and as Make spell it.
        assert main([*arguments, *flag]) == 0
        first, *_ = json.loads(capsys.readouterr().out)["differences"]
        assert first["name"] == "optimizer"


def test_a_schedule_is_drawn_where_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("epochs: 3")
    arguments = ["schedule", "--config", str(tmp_path / "mine.yaml"), "--num-train", "320"]
    assert main([*arguments, "--out", str(tmp_path / "drawn")]) == 0
    assert "3 epochs of 10 steps = 30 steps" in capsys.readouterr().out
    assert (tmp_path / "drawn" / "schedule.png").exists()


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_flag_of_a_command_is_explained(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    for option in cli.commands[command].params:
        assert option.opts[0] in out
        assert getattr(option, "help", None), option.name
