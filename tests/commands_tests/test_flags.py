"""Each option is explained once, beside its field, and every list of options follows from there."""

import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import click
import pytest

from search.cli import cli
from search.flags import OF_SCRIPTS, Grouped
from search.plan.config import RunConfig
from search.plan.option import Asked, Option, asked_of
from spaces.errors import InputError
from tests.support.finished_run import a_config

ROOT = Path(__file__).resolve().parents[2]
ASKED = asked_of(RunConfig)
OWN_WORDS = ("train", "resume", "export", "diff", "schedule")
"""Commands to which some flags mean something of their own."""
OF_SEARCH_ALONE = (
    *("num_samples", "patience", "rerun_top", "grace_period", "reduction_factor", "keep"),
)
FLAGS = {option.opts[-1] for command in cli.commands.values() for option in command.params}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Fields of all kinds."""

    place: Annotated[str, Option("A place.", default_words="here")]
    rate: Annotated[float, Option("A rate.", above=0.0)] = 0.5
    number: Annotated[int | None, Option("A number.", at_least=2)] = 3
    names: Annotated[tuple[str, ...], Option("Names.", flag="name", is_repeated=True)] = ()
    is_on: Annotated[bool | None, Option("Whether.")] = None
    hidden: int = 7


def test_types_flags_and_explanations_follow_from_the_fields() -> None:
    asked = asked_of(Sample)
    assert list(asked) == ["place", "rate", "number", "names", "is_on"]
    assert [one.kind for one in asked.values()] == [str, float, int, str, bool]
    assert [one.flag for one in asked.values()] == ["place", "rate", "number", "name", "is-on"]
    assert [one.explanation for one in asked.values()] == [
        "A place. [default: here]",
        "A rate. [default: 0.5]",
        "A number. [at least 2, default: 3]",
        "Names.",
        "Whether.",
    ]
    assert asked["place"].default is MISSING


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("number", 1, "`number >= 2` must hold, but got 1"),
        ("rate", 0.0, "`rate > 0` must hold, but got 0.0"),
        ("rate", float("nan"), "`rate > 0` must hold, but got nan"),
    ],
)
def test_a_value_outside_its_interval_is_named_with_it(name: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        asked_of(Sample)[name].option.require(name, value)


@pytest.mark.parametrize(("name", "value"), [("number", 2), ("number", None), ("rate", 1e-9)])
def test_the_ends_of_an_interval_and_no_value_are_let_through(name: str, value: Any) -> None:
    asked_of(Sample)[name].option.require(name, value)


@pytest.mark.parametrize("name", [n for n, a in ASKED.items() if a.option.at_least is not None])
def test_a_run_checks_the_least_value_that_its_options_tell(name: str, tmp_path: Path) -> None:
    least = ASKED[name].option.at_least
    assert least is not None
    a_config(tmp_path, **{name: int(least)})
    with pytest.raises(InputError, match=re.escape(f"`{name} >= {least:g}` must hold")):
        a_config(tmp_path, **{name: int(least) - 1})


@pytest.mark.parametrize("name", [n for n, a in ASKED.items() if a.option.above is not None])
def test_a_run_checks_what_a_value_must_lie_above(name: str, tmp_path: Path) -> None:
    a_config(tmp_path, **{name: 1})
    with pytest.raises(InputError, match=re.escape(f"`{name} > 0` must hold, but got 0")):
        a_config(tmp_path, **{name: 0})


def test_only_what_nobody_asks_for_has_no_flag() -> None:
    unasked = {"created", "home", "search_id", "stages", "top_ups"}
    assert {f.name for f in fields(RunConfig)} - set(ASKED) == unasked
    assert {f"--{asked.flag}" for asked in ASKED.values()} <= FLAGS


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_a_flag_of_a_field_has_its_type_and_help_and_leaves_its_default_to_the_run(
    command: str,
) -> None:
    types = {str: click.STRING, int: click.INT, float: click.FLOAT, bool: click.BOOL}
    # What is compared of somebody's script has the same words and another meaning.
    params = [p for p in cli.commands[command].params if p not in OF_SCRIPTS]
    options = [p for p in params if p.name in ASKED]
    assert options
    for option in options:
        assert isinstance(option, click.Option)
        asked: Asked = ASKED[str(option.name)]
        assert option.opts == [f"--{asked.flag}"]
        assert option.type is types[asked.kind]
        assert option.help == asked.explanation or command in OWN_WORDS
        assert option.multiple == asked.option.is_repeated
        if not asked.option.is_filled_in:
            assert option.get_default(click.Context(cli.commands[command])) in (None, ())


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_flag_stands_under_a_heading_and_help_alone_under_none(command: str) -> None:
    asked = cli.commands[command]
    text = asked.get_help(click.Context(asked, info_name=command))
    before, _, rest = text.partition("\nHelp:\n")
    assert sum(line.startswith("  -") for line in rest.splitlines()) == 1
    for option in asked.params:
        assert option.opts[-1] in before
    headings = [line[:-1] for line in before.splitlines() if re.fullmatch(r"\S.*:", line)]
    groups = asked.groups if isinstance(asked, Grouped) else {}
    assert headings == [heading for heading in groups if heading in headings]


def test_a_diagnosis_offers_nothing_of_the_search_that_it_does_not_do() -> None:
    offered = {
        name: {str(p.name) for p in cli.commands[name].params} for name in ("run", "diagnose")
    }
    assert offered["run"] - offered["diagnose"] == set(OF_SEARCH_ALONE)
    assert offered["diagnose"] - offered["run"] == {"best"}


@pytest.mark.parametrize(
    ("command", "flag", "words"),
    [
        ("export", "--num-train", "Rescale the recipe"),
        ("diff", "--num-train", "Training images that the recipe is for"),
        ("schedule", "--num-train", "Training images that the recipe is for"),
        ("train", "--epochs", "Epochs of the training"),
        ("resume", "--dataset", "Where its images lie now"),
    ],
)
def test_a_flag_says_what_it_means_to_its_command(command: str, flag: str, words: str) -> None:
    (option,) = (p for p in cli.commands[command].params if p.opts == [flag])
    assert isinstance(option, click.Option)
    assert str(option.help).startswith(words)


def test_make_passes_on_every_flag_and_no_other() -> None:
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(r"^VARIABLES := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert found
    variables = found[1].replace("\\", " ").split()
    assert len(variables) == len(set(variables))
    assert {f"--{v.lower().replace('_', '-')}" for v in variables} == FLAGS
