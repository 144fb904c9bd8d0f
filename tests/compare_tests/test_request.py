"""A comparison that lies on disk: what is kept of it, and where it may be gone on with."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from search.cli import main
from search.commands.compare.asked.request import Request
from search.commands.compare.command import FILE
from search.records.files import read_json, write_json
from search.records.home import Home
from spaces.errors import InputError
from tests.support.toy_comparison import request


def begun(directory: Path) -> Path:
    """A comparison that was begun, whose command would leave a mark."""
    run = directory / "r1"
    run.mkdir(parents=True)
    command = f"touch {directory / 'mark'} {{config}}"
    asked = replace(request(run, 2, command=command), home=Home.at(run, has_begun=True))
    write_json(run / FILE, asked.to_dict())
    return run


def test_where_it_was_begun_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    run = begun(tmp_path)
    asked = Request.from_dict(read_json(run / FILE), path=run)
    assert json.loads(json.dumps(asked.to_dict())) == read_json(run / FILE)


@pytest.mark.parametrize("how", ["copied", "moved", "forged", "without"])
def test_the_command_of_a_directory_from_elsewhere_is_never_run(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, there = begun(tmp_path), tmp_path / "there"
    if how == "moved":
        run.rename(there)
    else:
        shutil.copytree(run, there)
    data = read_json(there / FILE)
    if how == "forged":  # Its path can be guessed, its inode cannot.
        data["home"]["path"] = str(there)
    if how == "without":
        del data["home"]
    (there / FILE).write_text(json.dumps(data))
    before = sorted(there.rglob("*"))
    assert main(["resume", "--run", str(there)]) == 2
    complaint = capsys.readouterr().err
    assert "was not begun here" in complaint
    assert complaint.count("\n") == 1
    assert sorted(there.rglob("*")) == before
    assert not (tmp_path / "mark").exists()


def test_a_password_of_the_store_is_not_written(tmp_path: Path) -> None:
    asked = request(tmp_path, 2, tracking_uri="postgresql://u:secret@h/db")
    assert "secret" not in json.dumps(asked.to_dict())


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names the same result twice"):
        request(tmp_path, 2, metrics=("a.csv:acc", "a.csv:acc")).check()
