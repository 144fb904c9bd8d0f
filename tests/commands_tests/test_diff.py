"""A reproduction that misses by six points: the diff names what was left out, in order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from search.commands.diff import print_diff
from search.recipes.strict_yaml import to_yaml
from search.recipes.timm_export import timm_args
from search.recipes.yaml_file import write_recipe
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.references import REFERENCE_NAMES, published
from spaces.strengths.values import Strengths
from tests.support.toy_training import write_run

CONVNEXT = published("convnext_tiny").recipe


def told(
    capsys: pytest.CaptureFixture[str],
    config: Path,
    reference: str = "convnext_tiny",
    num_train: int | None = None,
) -> list[str]:
    """The lines that are numbered, without their numbers, in order."""
    print_diff(config, reference, num_train=num_train, as_json=False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    return [line.partition(". ")[2] for line in lines if line.partition(".")[0].isdigit()]


def found(
    capsys: pytest.CaptureFixture[str],
    config: Path,
    reference: str = "convnext_tiny",
    num_train: int | None = None,
) -> dict[str, dict[str, object]]:
    print_diff(config, reference, num_train=num_train, as_json=True)
    data = json.loads(capsys.readouterr().out)  # Nothing but JSON.
    assert data["schema"] == "diff/1"
    return {row["name"]: row for row in data["differences"]}


@pytest.fixture
def careless(tmp_path: Path) -> Path:
    """ConvNeXt's recipe as timm arguments, less smoothing, AdamW with its split, and the cosine."""
    args = dict(timm_args(CONVNEXT, num_train=1_281_167, num_classes=1000).args)
    args |= {
        "opt": "adam",
        "opt_kwargs": {"filter_bias_and_bn": False},
        "smoothing": 0.0,
        "sched": "step",
        "decay_rate": 0.1,
        "decay_epochs": 90,
    }
    path = tmp_path / "args.yaml"
    path.write_text(to_yaml(args))
    return path


def test_the_three_omissions_of_the_tale_come_first(
    careless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(capsys, careless)
    assert lines[0].startswith("plain Adam")
    assert lines[1].startswith("schedule: step decay, times 0.1 every 90 epochs instead of cosine")
    assert lines[2].startswith("missing label smoothing: the reference has 0.1")
    assert any("biases and normalization parameters are decayed" in line for line in lines)
    names = list(found(capsys, careless))
    assert names[:3] == ["optimizer", "schedule", "label_smoothing"]


def test_the_reference_itself_differs_in_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in REFERENCE_NAMES:
        path = tmp_path / f"{name}.yaml"
        write_recipe(path, published(name).recipe)
        assert told(capsys, path, name) == [], name
        assert found(capsys, path, name) == {}, name


def test_what_a_file_does_not_say_of_the_run_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("optimizer: adamw\nstrengths: {weight_decay: 0.05}\n")
    differences = found(capsys, path)
    assert not {"model", "epochs", "batch_size", "lr", "image_size", "seed"} & set(differences)
    missing = {name for name, row in differences.items() if row["kind"] == "missing"}
    assert {"mixup_alpha", "cutmix_alpha", "label_smoothing", "drop_path_rate"} <= missing
    assert "weight_decay" not in differences


def test_dropout_is_compared_as_the_architectures_train_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    mine.write_text("model: ghostnet_050\n")
    (row,) = [r for n, r in found(capsys, mine).items() if n == "dropout"]
    assert (row["kind"], row["mine"], row["reference"]) == ("extra", 0.2, 0.0)
    other.write_text("model: test_resnet\ndropout: 0.2\n")
    assert "dropout" not in found(capsys, mine, str(other))
    # What nothing switches off is no difference, but has to be known.
    other.write_text("model: test_vit_relpos\n")
    print_diff(other, "convnext_tiny", num_train=None, as_json=False)
    assert "a dropout of 0.125 inside that no setting" in capsys.readouterr().out


def test_a_run_that_starts_from_weights_of_its_own_is_not_called_one_from_scratch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "args.yaml"
    args = "opt: adamw\nsched: cosine\nmodel: test_resnet\nepochs: 20\nin_chans: 1\ncrop_pct: 0.9\n"
    path.write_text(args + "initial_checkpoint: ./weights.pth\ninput_size: [1, 64, 128]\n")
    print_diff(path, "convnext_tiny", num_train=None, as_json=False)
    out = capsys.readouterr().out
    assert "pretraining: initial_checkpoint = ./weights.pth instead of False" in out
    assert "image size: 64 x 128 pixels instead of 224" in out
    for key in ("in_chans", "crop_pct"):
        assert f"`{key}`" in out


def test_the_same_number_in_a_shorter_run_is_a_difference_in_effective_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    write_recipe(path, replace(CONVNEXT, batch_size=32))
    row = found(capsys, path, num_train=300)["ema_decay"]
    assert row["mine"] == row["reference"] == 0.9999
    assert row["mine_effective"] == pytest.approx(1 / (1e-4 * 9 * 300))
    assert row["reference_effective"] == pytest.approx(1 / (1e-4 * 312 * 300))
    print_diff(path, "convnext_tiny", num_train=300, as_json=False)
    out = capsys.readouterr().out
    assert "300 training images here (2700 steps) and 1281167 there (93600 steps)" in out


def test_a_recipe_in_a_run_is_measured_with_the_images_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path)
    print_diff(run / "best.yaml", "imagenet", num_train=None, as_json=False)
    assert "300 training images here (90 steps)" in capsys.readouterr().out
    print_diff(run / "best.yaml", "imagenet", num_train=6400, as_json=False)
    assert "6400 training images here (2000 steps)" in capsys.readouterr().out


def test_a_file_can_be_the_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "runs")
    mine = tmp_path / "mine.yaml"
    best = yaml.safe_load((run / "best.yaml").read_text())
    best["strengths"]["label_smoothing"] = 0.15
    mine.write_text(yaml.safe_dump(best))
    differences = found(capsys, mine, str(run / "best.yaml"), num_train=300)
    assert list(differences) == ["label_smoothing"]
    assert differences["label_smoothing"]["kind"] == "extra"


def test_what_timm_says_beyond_a_recipe_is_told(
    careless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    careless.write_text(careless.read_text() + "aug_repeats: 3\n")
    assert any(line.startswith("aug_repeats 3") for line in told(capsys, careless))


def test_a_model_that_is_not_here_does_not_stop_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    write_recipe(path, replace(CONVNEXT, model="my_own_net"))
    assert list(found(capsys, path)) == ["model"]


@pytest.mark.parametrize(
    ("text", "reference", "num_train", "says"),
    [
        ("lr: fast", "imagenet", None, "mine.yaml: `lr`"),
        ("lr: 0.1", "convnext_tinny", None, "`reference` must be a recipe file or one of"),
        ("lr: 0.1", "missing.yaml", None, "missing.yaml: there is no such file"),
        ("lr: 0.1", "convnext_tiny", 0, "`num_train >= 1` must hold"),
        ("lr: 0.1", "bit_hyperrule", 0, "`num_train >= 1` must hold"),
    ],
)
def test_wrong_input_is_named(
    text: str, reference: str, num_train: int | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        print_diff(path, reference, num_train=num_train, as_json=True)


def test_strengths_that_are_off_in_both_are_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine", "theirs"):
        write_recipe(tmp_path / f"{name}.yaml", Recipe(strengths=Strengths()))
    assert told(capsys, tmp_path / "mine.yaml", str(tmp_path / "theirs.yaml")) == []
