"""The drawn curve is the one that trains, has the length of the run, and opens by itself."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from search.commands.schedule import NO_SCHEDULE, curves, draw, draw_schedule, summary
from search.recipes.yaml_file import write_recipe
from spaces.errors import InputError
from spaces.recipe import OPTIMIZERS, SCHEDULES, Recipe
from spaces.strengths.values import Strengths
from tests.support.toy_training import TOY, write_run
from trainable.optim.optimizers import create_optimizer
from trainable.optim.schedule import lr_factor

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
    assert "4 epochs of 37 steps = 148 steps" in capsys.readouterr().out
    rescaled = run / "rescaled.yaml"
    rescaled.write_text((run / "toy.yaml").read_text())
    drawn(rescaled, tmp_path)
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


# The drawing

RECIPE = Recipe(lr=1e-3, min_lr=1e-5, strengths=Strengths(warmup_fraction=0.05))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total_steps", [1, 2, 135, 1000])
def test_every_rate_is_the_one_of_the_scheduler_that_trains(
    schedule: str, total_steps: int
) -> None:
    recipe = replace(RECIPE, schedule=schedule)
    own, without, other = curves(recipe, total_steps).items()
    warmup_steps = min(round(0.05 * total_steps), total_steps - 1)
    other_schedule = "cosine" if schedule == "one_cycle" else "one_cycle"
    for (name, rates), drawn, warmup in (
        (own, schedule, warmup_steps),
        (without, schedule, 0),
        (other, other_schedule, warmup_steps),
    ):
        assert name.startswith(drawn)
        assert rates == tuple(
            1e-3
            * lr_factor(
                step,
                schedule=drawn,
                total_steps=total_steps,
                warmup_steps=warmup,
                min_factor=1e-2,
            )
            for step in range(total_steps)
        )


def test_one_cycle_is_torchs_and_without_warmup_the_first_step_is_at_the_peak() -> None:
    own, without, one_cycle = curves(replace(RECIPE, min_lr=0.0), 100).values()
    assert own[0] == pytest.approx(1e-3 / 6)
    assert without[0] == max(without) == 1e-3
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-3, total_steps=100, pct_start=0.06, cycle_momentum=False
    )
    for rate in one_cycle:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-12)
        optimizer.step()
        if scheduler.last_epoch < 99:
            scheduler.step()


def test_optimizers_without_a_schedule_are_drawn_without_one() -> None:
    model = nn.Linear(1, 1)
    free = [
        name
        for name in OPTIMIZERS
        if not create_optimizer(replace(RECIPE, optimizer=name), model).uses_schedule
    ]
    assert free == list(NO_SCHEDULE)
    own = next(iter(curves(replace(RECIPE, optimizer="adamw_schedulefree"), 100).values()))
    assert set(own[5:]) == {1e-3}


def test_the_summary_holds_first_peak_and_last_rates() -> None:
    lines = summary(replace(RECIPE, min_lr=0.0), 100)
    assert len(lines) == 3
    assert lines[0].startswith(
        "cosine, 5 steps of warmup: 0.0001667, 0.0003333, 0.0005 ... 0.001 at step 5 ... "
    )
    assert lines[1].startswith("cosine without warmup: 0.001, ")
    assert "at step 0" in lines[1]
    assert lines[2].startswith("one_cycle")


class Inside(HTMLParser):
    """Gathers the tags of a page, and what it would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]


@pytest.mark.parametrize("total_steps", [1, 135, 5_000])
def test_the_picture_has_ink_and_the_page_opens_without_a_network(
    tmp_path: Path, total_steps: int
) -> None:
    png, html = draw(RECIPE, total_steps, tmp_path / "new" / "folder")
    assert (png.name, html.name) == ("schedule.png", "schedule.html")
    pixels = imread(png)
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.01
    page = html.read_text()
    found = Inside()
    found.feed(page)
    assert [name for name in found.loaded if not name.startswith("#")] == []
    assert "script" not in found.tags
    assert found.tags.count("svg") == 1
    for name in curves(RECIPE, total_steps):
        assert name in page
    draw(RECIPE, total_steps, tmp_path)
    assert (tmp_path / "schedule.html").read_text() == page


def test_the_curve_on_the_page_has_a_point_where_the_peak_is(tmp_path: Path) -> None:
    """The highest point of the first curve, which no other of its points reaches."""
    _, html = draw(RECIPE, 20, tmp_path)
    paths = re.findall(r'<g id="line2d_\d+">\s*<path d="([^"]+)" clip-path', html.read_text())
    curves_drawn = [path for path in paths if path.count("L") == 19]
    assert len(curves_drawn) == 3
    points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", curves_drawn[0])
    heights = [-float(y) for _, y in points]
    own = next(iter(curves(RECIPE, 20).values()))
    assert heights.index(max(heights)) == own.index(max(own))


def test_a_run_without_steps_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 <= total_steps"):
        draw(RECIPE, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []
