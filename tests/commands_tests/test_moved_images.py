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
from search.commands.train.job import Asked, TrainJob
from search.commands.train.plan import load_data, make_job
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
    monkeypatch.setattr(pipeline, "_work", lambda job, config, *others: configs.append(config))
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


def put_table(root: Path) -> Path:
    """The same images, named by a table whose columns have names of its own."""
    put_images(root)
    rows = [f"{name}/{i}.png,{name},{i // 2}" for name in ("zero", "one") for i in range(12)]
    (root / "labels.csv").write_text("\n".join(["picture,digit,writer", *rows]))
    return root / "labels.csv"


TABLE = {"columns": "image=picture,label=digit,group=writer"}


@pytest.fixture
def of_table(tmp_path: Path) -> Path:
    """A search on a table of images that lies beside them in ``here``."""
    run = write_run(tmp_path / "runs")
    table, data_dir = put_table(tmp_path / "here"), tmp_path / "data"
    found = load_dataset(
        table, image_size=SIZE, data_dir=data_dir, num_train=None, seed=0, columns=TABLE["columns"]
    )
    config, plan = (json.loads((run / f"{name}.json").read_text()) for name in ("config", "plan"))
    asked = config | {"dataset": str(table), "data_dir": str(data_dir), **TABLE}
    write_json(run / "config.json", asked)
    plan["data"]["digest"] = found.digest
    write_json(run / "plan.json", plan)
    return run


def test_a_search_whose_table_moved_with_its_images_takes_their_new_place(
    of_table: Path, gone_on_with: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    there = (of_table.parents[1] / "here").rename(of_table.parents[1] / "there")
    code, err = said(["resume", "--run", str(of_table)], capsys)
    assert (code, gone_on_with) == (2, [])
    assert "labels.csv does not or is no file" in err
    assert err.strip().endswith("DATASET=NEW_PLACE")
    again = ["resume", "--run", str(of_table), "--dataset", str(there / "labels.csv")]
    assert said(again, capsys) == (0, "")
    assert [config.columns for config in gone_on_with] == [TABLE["columns"]]


def test_a_search_whose_table_was_edited_does_not_go_on(
    of_table: Path, gone_on_with: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    table = of_table.parents[1] / "here" / "labels.csv"
    table.write_text(table.read_text().replace("zero/0.png,zero,0", "zero/0.png,zero,11"))
    code, err = said(["resume", "--run", str(of_table)], capsys)
    assert (code, gone_on_with) == (2, [])
    assert "has changed since" in err


def test_training_takes_the_table_of_its_search_with_columns_and_groups(of_table: Path) -> None:
    data_dir = str(of_table.parents[1] / "data")
    asked = Asked(config=of_table / "toy.yaml", data_dir=data_dir, epochs=8)
    job, dataset = make_job(asked, name="mine")
    assert job.columns == TABLE["columns"]
    assert job.data_name == "labels.csv"
    assert dataset.groups is not None
    assert not set(dataset.groups[dataset.split.train]) & set(dataset.groups[dataset.split.test])
    kept = load_data(TrainJob.from_dict(job.to_dict()))
    assert kept.digest == dataset.digest


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
