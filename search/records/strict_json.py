"""Parsing of JSON from any source into dataclasses, with every type checked.

A run directory may come from another machine, another version or another person. Content of its
JSON files that does not fit the dataclass is an error of one line that names file, key and value.
"""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from spaces.errors import InputError
from spaces.recipe import Recipe

Kind = TypeVar("Kind")

_MAX_DEPTH = 16
_INT_BOUND = 2**63
_MAX_MESSAGE = 600
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text", Any: "anything"}


def parse_json(text: str | bytes, *, where: str) -> Any:
    """Parse JSON strictly: finite numbers of 64 bits, no key twice, valid text, limited nesting.

    Args:
        text: The JSON text; UTF-8 if it is bytes.
        where: Beginning of an error's message, such as the path of the file.

    Raises:
        InputError: If it is anything else.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        data = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_refuse)
        _check_plain(data, _MAX_DEPTH)
    except RecursionError:
        raise InputError(f"{where} is nested too deeply.") from None
    except ValueError as error:  # Among them wrong UTF-8, and InputError.
        raise InputError(f"{where} is not JSON: {one_line(str(error)).rstrip('.')}.") from None
    return data


def build(kind: type[Kind], data: object, *, where: str) -> Kind:
    """Make a dataclass from plain values; unknown keys are ignored.

    Recipes are made by `Recipe.from_dict`, which raises on unknown keys.

    Args:
        kind: The dataclass.
        data: Result of `parse_json`.
        where: Beginning of an error's message.

    Raises:
        InputError: If a value is missing, has another type than the field, or the dataclass
            itself raises.
    """
    try:
        made: Kind = _made(kind, data, "")
    except InputError as error:
        raise InputError(f"{where}: {one_line(str(error))}") from None
    return made


def one_line(message: str) -> str:
    """Remove the line breaks of a message and limit its length."""
    flat = " ".join(message.split())
    return flat if len(flat) <= _MAX_MESSAGE else flat[:_MAX_MESSAGE] + " ..."


def require_text(values: Mapping[str, Any]) -> None:
    """Raise if a value is text that cannot be encoded, as file names on this system may be.

    Raises:
        InputError: If there is such a value.
    """
    for name, value in values.items():
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and not is_text(text):
                raise InputError(f"`{name}` must be UTF-8 text, but got {text[:80]!a}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {reprlib.repr(twice)} is given twice")
    return made


def _refuse(constant: str) -> None:
    raise InputError(f"{constant} is no number in JSON")


def _check_plain(data: Any, depth: int) -> None:
    """Raise on values that would fail later: infinities, huge integers, lone surrogates."""
    if depth == 0:
        raise RecursionError
    if isinstance(data, dict):
        for key, value in data.items():
            _check_plain(key, depth - 1)
            _check_plain(value, depth - 1)
    elif isinstance(data, list):
        for value in data:
            _check_plain(value, depth - 1)
    elif isinstance(data, str):
        if not is_text(data):
            raise InputError(f"the text {data[:40]!a} cannot be written to a file")
    elif isinstance(data, int) and abs(data) >= _INT_BOUND:
        raise InputError("an integer is beyond 64 bits")
    elif isinstance(data, float) and not abs(data) < float("inf"):
        raise InputError("a number is too large for a float")


def is_text(text: str) -> bool:
    """Whether a text can be written to a file or a path: no NUL, no lone surrogates."""
    return (text.isascii() and "\0" not in text) or not any(
        c == "\0" or "\ud800" <= c <= "\udfff" for c in text
    )


@cache
def _fields_of(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Return name, type, and whether it is required, of each field."""
    hints = get_type_hints(kind)
    return tuple(
        (f.name, hints[f.name], f.default is f.default_factory is MISSING)
        for f in fields(kind)
        if f.init
    )


def _made(kind: Any, value: Any, name: str) -> Any:
    """Convert ``value`` to ``kind``, or raise an error that names the key."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in args:
            return None
        (kind,) = (arg for arg in args if arg is not NoneType)
        return _made(kind, value, name)
    if kind is Recipe:
        return Recipe.from_dict(_mapping(value, name))
    if is_dataclass(kind) and isinstance(kind, type):
        return _made_dataclass(kind, _mapping(value, name), name)
    if origin is tuple:
        return _made_tuple(args, value, name)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {
            key: _made(args[1], item, f"{name}.{key}")
            for key, item in _mapping(value, name).items()
        }
    accepted = (int, float) if kind is float else kind
    if kind is Any:
        return value
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(name, _WORDS[kind], value)
    return value


def _made_dataclass(kind: type, given: Mapping[str, Any], name: str) -> Any:
    prefix = f"{name}." if name else ""
    values = {}
    for key, hint, is_needed in _fields_of(kind):
        if key in given:
            values[key] = _made(hint, given[key], prefix + key)
        elif is_needed:
            raise InputError(f"`{prefix}{key}` is missing.")
    return kind(**values)


def _made_tuple(args: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, "a list", value)
    kinds = args[:1] * len(value) if args[1:] == (...,) else args
    if len(kinds) != len(value):
        raise _wrong(name, f"a list of {len(kinds)}", value)
    return tuple(
        _made(kind, item, f"{name}[{i}]")
        for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "a mapping", value)
    return value


def _wrong(name: str, words: str, value: Any) -> InputError:
    what = f"`{name}`" if name else "it"
    return InputError(f"{what} must be {words}, but got {reprlib.repr(value)}.")
