"""What was asked for, as it is written and read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from search.plan.config import RunConfig
from search.plan.config_file import read_config, write_config
from search.plan.origin import read_origin
from spaces.errors import InputError
from tests.support.finished_run import a_config
from tests.support.toy_training import write_run


def test_a_run_stays_the_same_search_wherever_its_directory_goes(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    search_id = read_origin(run).config.search_id
    moved = run.rename(tmp_path / "another name")
    assert read_origin(moved).config.search_id == search_id
    assert read_origin(moved).config.run_name == "another name"


def test_no_two_runs_are_the_same_search(tmp_path: Path) -> None:
    ids = {a_config(tmp_path).search_id for _ in range(100)}
    assert len(ids) == 100
    # It stands inside quotes in MLflow's search language, which knows no escapes.
    assert all(search_id.isalnum() for search_id in ids)


def test_a_run_from_before_there_was_an_id_keeps_the_one_its_store_has(tmp_path: Path) -> None:
    asked = a_config(tmp_path).to_dict()
    del asked["search_id"]
    config = RunConfig.from_dict(asked, path=tmp_path / "renamed")
    assert config.search_id == "r1 of 2026-11-24 02:00:00"
    config.path.mkdir()
    written = write_config(config)
    assert read_config(config.path) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unheard_of": 1}, r"config\.json is of another version: its key 'unheard_of'"),
        ({"schema": "config/0"}, r"config\.json is not a config/1 file of this version"),
    ],
)
def test_a_config_of_another_version_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    asked = a_config(tmp_path).to_dict() | change
    with pytest.raises(InputError, match=message):
        RunConfig.from_dict(asked, path=tmp_path)


def test_what_was_asked_survives_being_written(tmp_path: Path) -> None:
    config = replace(a_config(tmp_path), ranges=("weight_decay=0:1",), stages=("confirm",))
    config.path.mkdir()
    written = write_config(config, begins=True)
    assert read_config(config.path) == written
    assert replace(written, home=None) == config
