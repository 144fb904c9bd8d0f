"""A comparison of scripts from Python: its arguments, and its result as it is read back."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import click
import pytest

import search
from search.api.arguments import CompareArguments, Texts, kinds_of
from search.api.comparisons import read_comparison
from search.cli import cli
from search.commands.compare.answer.sentences import WORDS
from search.commands.compare.answer.verdict import verdict_of
from search.commands.compare.answer.written import TURNS, to_dict
from search.records.files import write_json
from search.records.home import Home
from spaces.errors import InputError
from tests.support.toy_comparison import request, run


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison in which one key helps, one hurts, and one does nothing."""
    path = tmp_path_factory.mktemp("toy")
    asked = request(path, {"helps": (0, 1), "hurts": (0, 1), "idle": (0, 1)})
    log, finding = run(
        asked,
        lambda levels, cell: (
            0.5
            + 0.2 * levels["helps"]
            - 0.2 * levels["hurts"]
            + 0.001 * (int(cell.run_id[-4:]) * 5 % 7)
        ),
    )
    verdict = verdict_of(asked, asked.layout, log, finding, rounds=2)
    write_json(path / "compare.json", replace(asked, home=Home.at(path, has_begun=True)).to_dict())
    write_json(path / "verdict.json", to_dict(verdict))
    (path / "advised.yaml").write_text("helps: 1\n")
    with (path / "runs.csv").open("w") as file:
        csv.writer(file).writerows([["run", "accuracy"], ["attribute-0000", 0.5]])
    return path


def test_arguments_are_the_flags_of_the_command() -> None:
    flags = {
        option.opts[-1].removeprefix("--").replace("-", "_"): option
        for option in cli.commands["compare"].params
        if isinstance(option, click.Option)
    }
    kinds = kinds_of(CompareArguments)
    own = {"reference", "best", "command", "metric"}

    assert {*kinds, *own, "dry_run"} == set(flags)
    for name, kind in kinds.items():
        assert (kind == Texts) == flags[name].multiple
        assert (kind is int) == (flags[name].type is click.INT)
        assert (kind is float) == (flags[name].type is click.FLOAT)


def test_a_comparison_says_what_its_files_say(directory: Path) -> None:
    found = read_comparison(directory)
    said = json.loads((directory / "verdict.json").read_text())

    turns = {name: one.turn for name, one in found.dials.items()}
    assert (turns["helps"], turns["hurts"]) == ("take", "keep")
    assert set(turns.values()) <= {"take", "keep", "leave", "inconclusive"}
    assert (found.dials["helps"].recommended, found.dials["hurts"].recommended) == ("1", "0")
    assert said["schema"] == "compare/1"
    for factor in said["dials"]:
        effect = factor["effect"]["{dir}/r.json:accuracy"]
        assert found.dials[factor["name"]].interval == pytest.approx(effect["ci95"])
    assert found.sentence == said["sentence"] == str(found)
    assert found.advised["helps"] == 1
    assert found.advised_file == directory / "advised.yaml"
    assert list(found.experiment["accuracy"]) == [0.5]
    page = found._repr_html_()
    assert all(name in page for name in ("helps", "hurts", "idle", "take"))
    assert "<script" not in page


def test_every_outcome_has_a_turn_and_words() -> None:
    assert set(TURNS) == set(WORDS)
    assert sorted(TURNS.values()) == ["inconclusive", "keep", "leave", "take"]


def test_a_comparison_is_no_search_and_a_search_no_comparison(directory: Path) -> None:
    says = re.escape(f"search.compare(run={str(directory)!r})")
    for function in (search.load, search.resume):
        with pytest.raises(ValueError, match=says):
            function(directory)
    with pytest.raises(ValueError, match="There is no run 'x'"):
        search.compare(run="x", run_dir=directory)


def test_an_unfinished_comparison_says_how_it_goes_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"go on with: search\.compare\(run="):
        read_comparison(tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "`--reference` must be given"),
        ({"min_blocks": "2"}, "`min_blocks` must be an integer, but got '2'"),
        ({"reference": "no.yaml", "best": "no.yaml", "command": "x"}, "no.yaml"),
    ],
)
def test_wrong_input_is_one_line(
    given: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(says)) as raised:
        search.compare(**given)  # type: ignore[arg-type]
    assert len(str(raised.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
