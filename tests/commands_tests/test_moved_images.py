"""A run whose images lie elsewhere now says how to go on, and goes on with the very same ones."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.cli import main
from search.commands import pipeline
from search.commands.train.command import Place, train
from search.commands.train.job import Asked
from search.commands.train.plan import make_job
from search.plan.config import RunConfig
from search.records.files import write_json
from spaces.errors import InputError
from tests.support import finished_run
from tests.support.toy_training import write_run
from trainable.data.datasets import load_dataset

SIZE = finished_run.REFERENCE.image_size


def put_images(root: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for name in ("zero", "one"):
        (root / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(255, size=(16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search on a folder of images that lies at ``here`` beside it."""
    run = write_run(tmp_path / "runs")
    folder, data_dir = put_images(tmp_path / "here"), tmp_path / "data"
    found = load_dataset(folder, image_size=SIZE, data_dir=data_dir, num_train=None, seed=0)
    config, plan = (json.loads((run / f"{name}.json").read_text()) for name in ("config", "plan"))
    write_json(run / "config.json", config | {"dataset": str(folder), "data_dir": str(data_dir)})
    plan["data"]["digest"] = found.digest
    write_json(run / "plan.json", plan)
    return run


@pytest.fixture
def gone_on_with(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The runs that everything was in order for; none is really gone on with."""
    configs: list[RunConfig] = []
    monkeypatch.setattr(
        pipeline, "_work", lambda job, config, plan, dataset: configs.append(config)
    )
    return configs


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(words)
    return code, capsys.readouterr().err


def test_a_search_whose_images_moved_takes_the_place_that_it_asks_for(
    run: Path, gone_on_with: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    there = (run.parents[1] / "here").rename(run.parents[1] / "a new place")
    code, err = said(["resume", "--run", str(run)], capsys)
    assert (code, gone_on_with) == (2, [])
    assert "must exist" in err
    command = err.strip().partition("go on with: ")[2]
    assert shlex.split(command)[-2:] == [f"RUN={run}", "DATASET=NEW_PLACE"]
    code, err = said(["resume", "--run", str(run), "--dataset", str(there)], capsys)
    assert (code, err) == (0, "")
    assert [config.dataset for config in gone_on_with] == [str(there)]
    # From now on it knows.
    assert said(["resume", "--run", str(run)], capsys) == (0, "")
    assert gone_on_with[1].dataset == str(there)


def test_a_relative_place_is_kept_whole(
    run: Path,
    gone_on_with: list[RunConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = (run.parents[1] / "here").rename(run.parents[1] / "there")
    monkeypatch.chdir(there.parent)
    assert said(["resume", "--run", str(run), "--dataset", "there"], capsys)[0] == 0
    assert json.loads((run / "config.json").read_text())["dataset"] == str(there)


def test_other_images_in_the_new_place_are_refused_and_nothing_is_written(
    run: Path, gone_on_with: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    others = put_images(run.parents[1] / "others", seed=1)
    before = (run / "config.json").read_bytes()
    code, err = said(["resume", "--run", str(run), "--dataset", str(others)], capsys)
    assert (code, gone_on_with) == (2, [])
    assert "has changed since" in err
    assert "DATASET=NEW_PLACE" in err
    assert (run / "config.json").read_bytes() == before


def test_a_named_dataset_that_is_missing_asks_for_its_directory(
    run: Path,
    gone_on_with: list[RunConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("trainable.data.public_datasets.is_reachable", lambda url: False)
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", config | {"dataset": "cifar10"})
    code, err = said(["resume", "--run", str(run)], capsys)
    assert (code, gone_on_with) == (2, [])
    assert err.strip().endswith(f"RUN={run} DATA_DIR=NEW_PLACE")


# One full training run.


def a_place(run: Path, **changes: Any) -> Place:
    return Place(
        run_dir=run.parent,
        run_name="mine",
        tracking_uri="http://127.0.0.1:9",
        store_dir=run.parent / "unused",
        experiment="mine",
        **changes,
    )


def test_a_training_run_whose_images_moved_takes_the_place_that_it_asks_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, file = run.parents[1] / "here", run.parent / "mine" / "train.json"
    monkeypatch.setattr(
        "search.commands.train.command._work", lambda job, trainer, path, place, console: None
    )
    data_dir = str(run.parents[1] / "data")
    asked = Asked(config=run / "toy.yaml", dataset=str(here), data_dir=data_dir, epochs=8)
    train(asked, a_place(run))
    there = here.rename(run.parents[1] / "there")
    before = file.read_bytes()
    others = put_images(run.parents[1] / "others", seed=1)
    for place in (a_place(run), a_place(run, dataset=str(others))):
        with pytest.raises(InputError, match=r"go on with: make train.* DATASET=NEW_PLACE$"):
            train(None, place)
    assert file.read_bytes() == before
    train(None, a_place(run, dataset=str(there)))
    assert json.loads(file.read_text()) == json.loads(before) | {"dataset": str(there)}
    train(None, a_place(run))


def test_training_from_a_search_whose_images_moved_asks_for_their_place(run: Path) -> None:
    (run.parents[1] / "here").rename(run.parents[1] / "there")
    with pytest.raises(InputError, match=r"here, but do not.*`--dataset`"):
        make_job(Asked(config=run / "toy.yaml"), name="mine")
