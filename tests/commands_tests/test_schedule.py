"""The drawn schedule has the length of the run, and its printed ends are those of training."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from search.commands.schedule import draw_schedule
from search.recipes.yaml_file import write_recipe
from spaces.errors import InputError
from tests.support.toy_training import TOY, write_run

PNG = b"\x89PNG"


def drawn(config: Path, tmp_path: Path, num_train: int | None = None, **more: Path) -> None:
    draw_schedule(config, num_train=num_train, run_dir=tmp_path / "runs", **more)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_recipe(tmp_path / "mine.yaml", TOY.with_strengths(warmup_fraction=0.25))
    return tmp_path / "mine.yaml"


def test_first_and_last_rates_are_those_of_linear_warmup_and_cosine(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(recipe, tmp_path, num_train=80)  # 10 steps in each of 4 epochs, 10 of them warmup.
    out = capsys.readouterr().out
    assert "4 epochs of 10 steps = 40 steps" in out
    first = TOY.lr / 11
    assert f"{first:.4g}, {2 * first:.4g}, {3 * first:.4g}" in out
    last = TOY.lr * (1 + math.cos(math.pi * 29 / 30)) / 2
    assert f"{last:.4g}" in out
    assert "cosine without warmup: 0.003," in out
    assert "one_cycle, 10 steps of warmup" in out


def test_both_drawings_lie_under_the_run_directory(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(recipe, tmp_path, num_train=80)
    folder = tmp_path / "runs" / "schedule-mine"
    assert (folder / "schedule.png").read_bytes().startswith(PNG)
    assert "cosine without warmup" in (folder / "schedule.html").read_text()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        str(folder / "schedule.png"),
        str(folder / "schedule.html"),
    ]


def test_another_folder_may_be_given(recipe: Path, tmp_path: Path) -> None:
    drawn(recipe, tmp_path, out=tmp_path / "a" / "b")
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == {"schedule.png", "schedule.html"}
    assert not (tmp_path / "runs").exists()


def test_a_recipe_in_a_run_has_the_length_of_that_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "there")
    drawn(run / "toy.yaml", tmp_path)
    assert "4 epochs of 37 steps = 148 steps" in capsys.readouterr().out
    assert (tmp_path / "runs" / "schedule-r1" / "schedule.png").exists()
    (run / "export.json").write_text(json.dumps({"num_train": 800}))
    drawn(run / "toy.yaml", tmp_path)
    assert "4 epochs of 100 steps = 400 steps" in capsys.readouterr().out


def test_without_any_number_of_images_the_shape_is_drawn_and_said_to_be_nominal(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(recipe, tmp_path)
    assert "400 steps (NUM_TRAIN=... is not given" in capsys.readouterr().out


def test_wrong_input_is_named_and_nothing_is_written(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`num_train >= 1` must hold"):
        drawn(recipe, tmp_path, num_train=0)
    with pytest.raises(InputError, match=r"nothing\.yaml: there is no such file"):
        drawn(tmp_path / "nothing.yaml", tmp_path)
    with pytest.raises(InputError, match=r"mine\.yaml cannot be written to"):
        drawn(recipe, tmp_path, out=recipe)
    assert not (tmp_path / "runs").exists()


def test_a_schedule_of_its_own_is_drawn_beside_cosine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path / "mine.yaml", replace(TOY, schedule="one_cycle"))
    drawn(tmp_path / "mine.yaml", tmp_path)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line.partition(",")[0] for line in lines[1:4]] == [
        "one_cycle",
        "one_cycle without warmup: 0.003",
        "cosine",
    ]
