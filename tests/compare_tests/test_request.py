"""A comparison that lies on disk: what is kept of it, and where it may be gone on with."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.api.arguments import CompareArguments, kinds_of
from search.cli import main
from search.commands.compare.asked.flags import request_of
from search.commands.compare.asked.request import Request
from search.commands.compare.command import FILE
from search.commands.compare.plan_text import plan_lines
from search.commands.compare.run_log import RunLog, is_hopeless
from search.commands.compare.schedule import experiment_cells
from search.records.files import read_json, write_json
from search.records.home import Home
from spaces.errors import InputError
from tests.support.toy_comparison import outcome, request


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
    with pytest.raises(InputError, match="the run's directory: from one file"):
        request(tmp_path, 2, metrics=("/tmp/a.csv:acc",)).check_new()
    # What an earlier version began is gone on with.
    request(tmp_path, 2, metrics=("/tmp/a.csv:acc",)).check()
    with pytest.raises(InputError, match="`--max-runs` and `--max-blocks` say the same"):
        request(tmp_path, 2, max_runs=16, max_blocks=2)


@pytest.mark.parametrize(
    ("number", "most", "rounds"),
    [(3, 16, 2), (3, 23, 2), (3, 24, 3), (3, 40, 5), (7, 47, 2), (7, 48, 3), (9, 24, 2)],
)
def test_so_many_runs_are_whole_rounds(tmp_path: Path, number: int, most: int, rounds: int) -> None:
    asked = request(tmp_path, number, max_runs=most)
    asked.check()
    assert asked.rounds == rounds
    assert len(asked.layout.rounds(rounds)) <= most


@pytest.mark.parametrize("most", [24, 26, 39, 60])
def test_so_many_runs_are_never_more_where_requirements_leave_cells_out(
    tmp_path: Path, most: int
) -> None:
    """Blocks differ in size then: 10 factors have 6 and 7 runs by turns."""
    asked = request(
        tmp_path, 10, max_runs=most, required=("f0=1 -> f1=1", "f2=1 -> f3=1"), min_blocks=2
    )
    asked.check()
    assert len(asked.layout.rounds(asked.rounds)) <= most
    assert len(asked.layout.rounds(asked.rounds + 1)) > most


@pytest.mark.parametrize(("number", "least"), [(3, 16), (7, 32)])
def test_fewer_runs_than_the_first_look_takes_are_refused(
    tmp_path: Path, number: int, least: int
) -> None:
    with pytest.raises(InputError, match=f"must be at least {least}, 2 rounds for {number}"):
        request(tmp_path, number, max_runs=least - 1).check()


def test_a_top_up_asks_for_more_than_was_planned_and_remembers_that(tmp_path: Path) -> None:
    asked = request(tmp_path, 3, max_blocks=3)
    more = asked.topped_up(5)
    assert (more.plans, more.topped_up(6).plans) == ((3, 5), (3, 5, 6))
    assert Request.from_dict(
        json.loads(json.dumps(replace(more, home=Home.at(tmp_path, has_begun=True)).to_dict())),
        path=tmp_path,
    ).plans == (3, 5)
    with pytest.raises(InputError, match="must be at least 6"):
        more.topped_up(5)


def test_either_name_of_the_time_limit_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"lr": name}))
    given: dict[str, Any] = {
        **dict.fromkeys(kinds_of(CompareArguments)),
        **dict.fromkeys(("group", "fix", "require"), ()),
        "reference": str(tmp_path / "a.json"),
        "best": str(tmp_path / "b.json"),
        "command": "python t.py {config}",
        "metric": ("r.json:acc",),
        "run_dir": str(tmp_path),
    }
    assert request_of(given).time_limit_s is None
    assert request_of({**given, "time_limit_s": 3.0}).time_limit_s == 3.0
    assert request_of({**given, "run_timeout_s": 4.0}).time_limit_s == 4.0
    with pytest.raises(InputError, match="say the same"):
        request_of({**given, "run_timeout_s": 4.0, "time_limit_s": 3.0})


def test_a_comparison_that_left_no_result_is_not_gone_on_with(tmp_path: Path) -> None:
    """Nor is one said to be hopeless while somebody may be at work at it."""
    asked, log = request(tmp_path, 2), RunLog(tmp_path)
    first, second = experiment_cells(asked, asked.layout, 1)[:2]
    told = [is_hopeless(tmp_path)]
    for step in (first, second):
        log.begin(step)
        told.append(is_hopeless(tmp_path))
    for step in (first, second, first, second):
        log.end(outcome(step, None, asked))
        told.append(is_hopeless(tmp_path))
    assert told == [False] * 6 + [True]
    third = experiment_cells(asked, asked.layout, 1)[2]
    log.begin(third)
    assert not is_hopeless(tmp_path)
    log.end(outcome(third, 0.5, asked))
    assert not is_hopeless(tmp_path)


@pytest.mark.parametrize("line", ["[1]", '{"event": "end"}', "{}"])
def test_a_file_that_no_comparison_wrote_is_not_judged(tmp_path: Path, line: str) -> None:
    (tmp_path / "runs.jsonl").write_text(f"{line}\n")
    assert not is_hopeless(tmp_path)


@pytest.mark.parametrize(("theirs", "is_typo"), [("standardise", True), ("dropout", False)])
def test_keys_that_are_spelled_nearly_alike_are_pointed_out(
    tmp_path: Path, theirs: str, is_typo: bool
) -> None:
    asked = request(tmp_path, 1, reference={"standardize": False}, best={theirs: True})
    lines = [line for line in plan_lines(asked, every_run=False) if "misspelled" in line]
    assert len(lines) == is_typo
    if is_typo:
        assert "`standardize` is only in yours and `standardise` only in the best" in lines[0]
