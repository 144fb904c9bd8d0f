"""Wrong input is one line on stderr, exit code 2, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.cli import main


def write_folder(root: Path, *, classes: int = 2, images: int = 6) -> Path:
    generator = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(images):
            pixels = generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


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


def test_an_existing_run_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "config.json").write_text("{}")
    arguments = ["run", "--dataset", "small-transfer", "--run-name", "mine"]
    code = main([*arguments, "--run-dir", str(tmp_path / "runs")])
    assert code == 2
    assert "make resume RUN=mine" in capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "config.json").read_text() == "{}"


def test_help_answers_without_heavy_imports() -> None:
    code = (
        "import sys, search.cli; print(any(m in sys.modules for m in ('torch', 'ray', 'mlflow')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
