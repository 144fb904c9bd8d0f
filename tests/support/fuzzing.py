"""Valid files made wrong, and what is asked of whoever reads them."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.errors import InputError

DEEP: Any = None
for _ in range(60):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 2**62, 2**63, 10**400, 0.5, -0.0, 1e-320, 1e308),
    *(math.nan, math.inf, -math.inf, "", "x", "1", "nan", "null", "../../x", "/", "/dev/zero", "~"),
    *("a\0b", "\ud800", "\u202e", "a" * 5000, "\n", "{{7*7}}", "http://u:p@h", "[" * 50),
    *([], {}, [[]], [None], {"": None}, {"schema": 1}, [1, "x"], {"a": {"b": {}}}, DEEP),
)
"""Values of every type, at every end of it, and some that mean something elsewhere."""


def places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested dicts and lists, the whole first."""
    found = [here]
    if isinstance(data, dict):
        for key, value in data.items():
            found += places(value, (*here, key))
    if isinstance(data, list):
        for key, value in enumerate(data):
            found += places(value, (*here, key))
    return found


@st.composite
def mutated(draw: st.DrawFn, valid: Any) -> Any:
    """Valid values with one to three things wrong: dropped, swapped, nested, renamed, doubled."""
    data = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(places(data)))
        how = draw(st.sampled_from(["drop", "swap", "swap", "swap", "nest", "rename", "borrow"]))
        odd = copy.deepcopy(draw(st.sampled_from(ODD)))
        if not where:
            data = [data] if how == "nest" else odd if draw(st.integers(0, 9)) == 0 else data
            continue
        inside = data
        for key in where[:-1]:
            inside = inside[key]
        last = where[-1]
        if how == "drop":
            del inside[last]
        elif how == "nest":
            inside[last] = draw(st.sampled_from([[inside[last]], {"x": inside[last]}]))
        elif how == "rename" and isinstance(inside, dict):
            inside[str(odd)[:100]] = inside.pop(last)
        elif how == "borrow":
            lender = draw(st.sampled_from(places(data)))
            lent = data
            for key in lender:
                lent = lent[key]
            inside[last] = json.loads(json.dumps(lent))
        else:
            inside[last] = odd
    return data


@st.composite
def mutated_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """A file with bytes changed, lost, doubled or added."""
    raw = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        how = draw(st.sampled_from(["set", "set", "set", "cut", "lose", "double", "add"]))
        length = draw(st.sampled_from([1, 2, 4, 16, 64]))
        if how == "set" and length == 1:
            raw[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "set":
            # Ends of integers are where decoders break.
            end = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80"]))
            raw[at : at + length] = end * len(raw[at : at + length])
        elif how == "cut":
            del raw[at:]
        elif how == "lose":
            del raw[at : at + length]
        elif how == "double":
            raw[at:at] = raw[at : at + length]
        else:
            raw[at:at] = draw(st.binary(max_size=16))
    return bytes(raw)


BAD_JSON = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"NaN",
    b"[1, Infinity]",
    b"1" * 5000,
    b"1e999",
    b'{"a": 1, "a": 2}',
    b'{"a": "\\ud800"}',
    b'{"a": "\\u0000"}',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 20 + b"]" * 20,
    b'{"a": 1} {"b": 2}',
    b"\x80\x04N.",
    bytes(2**20),
]


def as_json(data: Any) -> bytes:
    return json.dumps(data).encode()


SECONDS = 5.0
"""Largest time of a reader for a file of a few kilobytes, in seconds."""


def examples(few: int, many: int = 20_000) -> pytest.MarkDecorator:
    """A fixed few in every test run, many under ``-m stress``."""
    marks = (pytest.mark.stress, pytest.mark.timeout(3600))
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=marks)])


def fuzz(count: int, *strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Run a property on ``count`` examples, the same ones each time if they are few."""

    def run(check: Callable[..., None]) -> None:
        settings(
            max_examples=count,
            deadline=None,  # `in_time` says more.
            derandomize=count < 5000,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(given(*strategies)(check))()

    return run


@contextmanager
def in_time() -> Iterator[None]:
    """Processor time, which other programs do not lengthen; pytest's own limit ends a wait."""
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS


def is_one_line(message: str, *, longest: int = 1500) -> bool:
    return 0 < len(message) < longest and len(message.splitlines()) == 1


def outcome(read: Callable[[], Any]) -> Any:
    """Return the result of a reader, or None after an `InputError` of one line."""
    said = "x"
    with in_time():
        try:
            return read()
        except InputError as error:
            said = str(error)
        finally:
            assert is_one_line(said), said
    return None
