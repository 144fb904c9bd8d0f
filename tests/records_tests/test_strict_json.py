"""Plain values become a dataclass only if each is of its field's type; else its key is named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from search.records.strict_json import build
from spaces.errors import InputError
from spaces.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    """Lies inside."""

    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    """One field of each kind that our files have."""

    number: int
    rate: float = 0.5
    is_on: bool = False
    name: str = ""
    maybe: int | None = None
    names: tuple[str, ...] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    means: Mapping[str, float] | None = None
    inner: Inner | None = None
    parts: tuple[Inner, ...] = ()
    recipe: Recipe | None = None
    anything: Any = None

    def __post_init__(self) -> None:
        if self.number < 0:
            raise InputError(f"`number >= 0` must hold, but got {self.number}.")


def built(**values: object) -> Outer:
    return build(Outer, {"number": 1, **values}, where="file")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"number": True}, "`number` must be an integer, but got True."),
        ({"number": 1.0}, "`number` must be an integer, but got 1.0."),
        ({"number": "1"}, "`number` must be an integer, but got '1'."),
        ({"number": None}, "`number` must be an integer, but got None."),
        ({"rate": True}, "`rate` must be a number, but got True."),
        ({"rate": "0.5"}, "`rate` must be a number, but got '0.5'."),
        ({"is_on": 1}, "`is_on` must be true or false, but got 1."),
        ({"name": 3}, "`name` must be text, but got 3."),
        ({"maybe": 2.5}, "`maybe` must be an integer, but got 2.5."),
        ({"names": "ab"}, "`names` must be a list, but got 'ab'."),
        ({"names": ["a", 2]}, "`names[1]` must be text, but got 2."),
        ({"ends": [0.0]}, "`ends` must be a list of 2, but got [0.0]."),
        ({"ends": [0.0, False]}, "`ends[1]` must be a number, but got False."),
        ({"means": [1.0]}, "`means` must be a mapping, but got [1.0]."),
        ({"means": {"val/top1": "x"}}, "`means.val/top1` must be a number, but got 'x'."),
        ({"inner": 3}, "`inner` must be a mapping, but got 3."),
        ({"inner": {}}, "`inner.rate` is missing."),
        (
            {"parts": [{"rate": 1.0}, {"rate": None}]},
            "`parts[1].rate` must be a number, but got None.",
        ),
        ({"recipe": {"colour": "blue"}}, "colour"),
        ({"number": -1}, "`number >= 0` must hold, but got -1."),
    ],
)
def test_a_value_of_another_type_is_named_with_its_key_and_file(
    values: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=r"^file: .*" + re.escape(says)):
        built(**values)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_what_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(InputError, match=r"^file: it must be a mapping, but got "):
        build(Outer, data, where="file")


def test_a_missing_value_is_named_and_an_unknown_key_is_passed_over() -> None:
    with pytest.raises(InputError, match=r"^file: `number` is missing"):
        build(Outer, {"colour": "blue"}, where="file")
    assert built(colour="blue") == Outer(number=1)


def test_lists_become_tuples_and_mappings_what_their_fields_are() -> None:
    made = built(
        rate=2,
        maybe=None,
        names=["a", "b"],
        ends=[0, 1.5],
        means={"val/top1": 1},
        inner={"rate": 1},
        parts=[{"rate": 0.25}],
        recipe={"epochs": 7},
        anything={"x": [1]},
    )
    assert made == Outer(
        number=1,
        rate=2,
        names=("a", "b"),
        ends=(0, 1.5),
        means={"val/top1": 1},
        inner=Inner(rate=1),
        parts=(Inner(rate=0.25),),
        recipe=Recipe(epochs=7),
        anything={"x": [1]},
    )


def test_a_message_stays_one_line_however_long_the_value_is() -> None:
    with pytest.raises(InputError) as caught:
        built(name=["line\nbreak"] * 1000)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)
