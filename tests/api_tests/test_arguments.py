"""Arguments of the public functions are flags of their commands: names, types, checks, words."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import search
from search.api import functions
from search.api.arguments import (
    Data,
    DiagnoseArguments,
    ResumeArguments,
    SearchArguments,
    Texts,
    TrainArguments,
    checked,
    kinds_of,
)
from search.api.arguments import Path as PathLike
from search.cli import cli, main
from search.plan.config import RunConfig
from search.plan.option import asked_of
from spaces.errors import InputError

ARGUMENTS = {
    "plan": SearchArguments,
    "run": SearchArguments,
    "diagnose": DiagnoseArguments,
    "resume": ResumeArguments,
    "train": TrainArguments,
}
POSITIONAL = {"plan": "dataset", "run": "dataset", "diagnose": "dataset", "resume": "run"}
OF_TYPE = {
    click.STRING: (str, PathLike, Data),
    click.INT: (int,),
    click.FLOAT: (float,),
    click.BOOL: (bool,),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_the_flags_of_the_command_with_their_types(name: str) -> None:
    flags = {
        option.opts[-1].removeprefix("--").replace("-", "_"): option
        for option in cli.commands[name].params
        if isinstance(option, click.Option)
    }
    kinds = kinds_of(ARGUMENTS[name])

    assert {*kinds, POSITIONAL.get(name, "config")} == set(flags)
    for flag, kind in kinds.items():
        option = flags[flag]
        assert kind in ((Texts,) if option.multiple else OF_TYPE[option.type]), flag


@pytest.mark.parametrize("name", ARGUMENTS)
def test_help_and_completion_know_every_argument_and_what_it_means(name: str) -> None:
    function = getattr(functions, name)
    by_flag = {asked.flag.replace("-", "_"): asked for asked in asked_of(RunConfig).values()}

    assert set(kinds_of(ARGUMENTS[name])) < set(inspect.signature(function).parameters)
    assert "Example:" in function.__doc__
    assert function.__doc__.index("Args:") < function.__doc__.index("Returns:")
    for argument in kinds_of(ARGUMENTS[name]):
        assert f"{argument}: {by_flag[argument].explanation}" in function.__doc__


def test_the_plan_is_a_function_and_a_folder_of_modules() -> None:
    folder: Any = search.plan

    assert import_module("search.plan.config").RunConfig is RunConfig
    assert folder.config is import_module("search.plan.config")
    assert callable(search.plan)
    signature = inspect.signature(search.plan)
    assert signature == inspect.signature(functions.plan)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", "three", "`epochs` must be an integer, but got 'three'"),
        ("epochs", 3.0, "`epochs` must be an integer, but got 3.0"),
        ("epochs", True, "`epochs` must be an integer, but got True"),
        ("lr", "0.1", "`lr` must be a number, but got '0.1'"),
        ("lr", False, "`lr` must be a number, but got False"),
        ("pretrained", "yes", "`pretrained` must be True or False, but got 'yes'"),
        ("model", Path("m"), "`model` must be text, but got "),
        ("run_dir", 3, "`run_dir` must be text or a path, but got 3"),
        ("set", [1], "`set` must be a text or a list of texts, but got [1]"),
        ("fix", {"a": 1}, "`fix` must be a text or a list of texts, but got {'a': 1}"),
        ("model", np.zeros(1000), "`model` must be text, but got array([0., 0."),
    ],
)
def test_a_value_of_another_type_is_one_line(name: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as raised:
        checked(SearchArguments, {name: value}, function="run")
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 200


def test_numbers_of_numpy_paths_and_several_texts_become_plain_values() -> None:
    given = {
        "epochs": np.int64(3),
        "lr": np.float32(0.5),
        "run_dir": Path("runs"),
        "set": "a=0:1",
        "fix": ["b=0", "c=0"],
        "model": None,
    }
    values = checked(SearchArguments, given, function="run")

    expected = {"epochs": 3, "lr": 0.5, "run_dir": "runs", "set": ("a=0:1",), "fix": ("b=0", "c=0")}
    assert values == expected
    assert [type(values[name]) for name in ("epochs", "lr")] == [int, float]


def test_an_unknown_name_is_refused_as_by_any_function() -> None:
    with pytest.raises(TypeError, match=re.escape("run() got an unexpected keyword argument 'ep")):
        search.run("digits", ep=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 0},
        {"num_samples": 1},
        {"metric": "f1"},
        {"set": "label_smoothing=0.3"},
        {"reference": "imagnet"},
        {"run_name": "../x"},
    ],
)
def test_wrong_input_is_told_in_the_words_of_the_command_line(
    given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"run_dir": tmp_path / "runs", "data_dir": tmp_path / "data"}
    words = [
        w for n, v in {**given, **places}.items() for w in (f"--{n.replace('_', '-')}", f"{v}")
    ]
    assert main(["run", "--dataset", "small-transfer", *words]) == 2
    said = capsys.readouterr().err.strip()

    with pytest.raises(InputError, match=re.escape(said)) as raised:
        search.run("small-transfer", **{**given, **places})

    assert str(raised.value) == said
    assert not (tmp_path / "runs").exists()
    assert raised.value._render_traceback_() == [f"InputError: {said}"]
