"""Configuration files keep what they say, and only keys that differ count as differences."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.commands.compare.asked.configurations import (
    UNSET,
    Configuration,
    read_configuration,
    same,
    word,
)
from spaces.errors import InputError

NESTED = {
    "epochs": 30,
    "optimizer": {"name": "adamw", "lr": 0.001, "betas": [0.9, 0.999]},
    "amp": True,
    "note": "a: b # c",
}
READERS: dict[str, Callable[[str], Any]] = {
    "yaml": yaml.safe_load,
    "json": json.loads,
    "toml": tomllib.loads,
}


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("format", READERS)
def test_a_script_reads_back_what_the_file_said(tmp_path: Path, format: str) -> None:
    text = Configuration(values=NESTED, format=format).text()
    assert READERS[format](text) == NESTED
    again = read_configuration(written(tmp_path, f"c.{format}", text))
    assert again.values == NESTED
    assert again.format == format


def test_a_key_inside_a_table_is_named_by_its_path() -> None:
    flat = Configuration(values=NESTED, format="yaml").flat
    assert flat["optimizer.lr"] == 0.001
    assert flat["optimizer.betas"] == [0.9, 0.999]
    assert next(iter(flat)) == "epochs"


def test_values_are_replaced_where_they_stand_and_taken_out() -> None:
    before = Configuration(values=NESTED, format="yaml")
    after = before.replaced({"optimizer.lr": 0.1, "amp": UNSET, "sched.warmup": 5})
    assert after.values["optimizer"] == {"name": "adamw", "lr": 0.1, "betas": [0.9, 0.999]}
    assert "amp" not in after.values
    assert after.values["sched"] == {"warmup": 5}
    assert before.values == NESTED


def test_a_key_that_holds_a_dot_is_not_taken_apart() -> None:
    before = Configuration(values={"model.depth": 3, "a": {"b.c": 1}}, format="yaml")
    assert before.replaced({"model.depth": 4, "a.b.c": 2}).values == {
        "model.depth": 4,
        "a": {"b.c": 2},
    }


def test_flags_are_what_argparse_wants() -> None:
    values = {"lr": 0.1, "amp": True, "ema": False, "seed": None, "aa": "rand m9", "size": [3, 32]}
    words = Configuration(values=values, format="yaml").arguments()
    assert words == ["--lr", "0.1", "--amp", "--aa", "rand m9", "--size", "3", "32"]


@pytest.mark.parametrize(
    ("a", "b", "is_same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ([1, 2], [1.0, 2], True),
        ([1, True], [1, 1], False),
        (None, UNSET, False),
        (UNSET, UNSET, True),
        (None, None, True),
    ],
)
def test_one_setting_may_be_written_in_two_ways(a: Any, b: Any, is_same: bool) -> None:
    assert same(a, b) is is_same
    assert same(b, a) is is_same


def test_values_are_shown_as_one_would_type_them() -> None:
    assert [word(v) for v in (0.1, True, None, "sgd", [1, "a"], UNSET, 1e-05)] == [
        *("0.1", "true", "null", "sgd", '[1, "a"]', "not set", "1e-05")
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.ini", "a=1", "must end with"),
        ("c.yaml", "", "is empty"),
        ("c.yaml", "- 1", "maps keys to values"),
        ("c.yaml", "a: 1\na: 2", "given twice"),
        ("c.yaml", "a: .inf", "must be finite"),
        ("c.json", "[1]", "maps keys to values"),
        ("c.json", "{", "not JSON"),
        ("c.json", '{"a": {"b": 1}, "a.b": 2}', "both called `a.b`"),
        ("c.toml", "a = ", "not valid TOML"),
        ("c.toml", "d = 2026-01-01", "write it as text"),
    ],
)
def test_a_bad_file_gets_one_line_that_names_it(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(InputError, match=says) as raised:
        read_configuration(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.json", "a.toml"):
        with pytest.raises(InputError, match=r"no such file|cannot be read"):
            read_configuration(tmp_path / name)
