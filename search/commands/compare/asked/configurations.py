"""Configuration files of somebody's script: read into flat keys, changed key by key, written back.

A file is YAML, JSON or TOML, by the end of its name. A key inside a table is named by its path with
dots, ``optimizer.lr``. Lists are values: a list that differs is one difference.
"""

import copy
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from search.recipes.strict_yaml import read_mapping, to_yaml
from search.records.strict_json import one_line, parse_json
from spaces.errors import InputError

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
"""Formats of configuration files by the end of their name."""
MAX_BYTES = 1 << 20
_MISSING = object()


class Unset:
    """The value of a key that one of the two configurations does not have."""

    def __repr__(self) -> str:
        return "not set"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unset)

    def __hash__(self) -> int:
        return 0


UNSET = Unset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """One configuration of a script.

    Attributes:
        values: Plain values as the file nests them.
        format: ``yaml``, ``json`` or ``toml``: how it is written for the script.
    """

    values: Mapping[str, Any]
    format: str

    @property
    def flat(self) -> dict[str, Any]:
        """Every value by its dotted key, in the order of the file."""
        return dict(_flat(self.values, ""))

    def replaced(self, values: Mapping[str, Any]) -> "Configuration":
        """The same with other values at some dotted keys; `UNSET` takes a key out."""
        nested = copy.deepcopy(dict(self.values))
        for name, value in values.items():
            _put(nested, name, value)
        return Configuration(values=nested, format=self.format)

    def text(self) -> str:
        """The file that a script reads."""
        if self.format == "json":
            return json.dumps(self.values, indent=2, ensure_ascii=False) + "\n"
        if self.format == "toml":
            return tomlkit.dumps(self.values)
        return to_yaml(self.values)

    def arguments(self) -> list[str]:
        """The same as words of a command line: ``--key value`` for each dotted key.

        True is the bare ``--key``; False and no value (null) leave the key out, as scripts that
        know ``store_true`` want it; a list has its items behind the key, one word each.
        """
        words: list[str] = []
        for name, value in self.flat.items():
            if value is None or value is False:
                continue
            words.append(f"--{name}")
            if value is not True:
                words += map(word, value if isinstance(value, list) else [value])
        return words

    @property
    def suffix(self) -> str:
        """End of the name of a file that holds it."""
        return f".{self.format}"


def read_configuration(path: Path) -> Configuration:
    """Read a configuration file.

    Raises:
        InputError: If it cannot be read, or is not of a known format, or two of its keys have the
            same dotted name. One line that names the file.
    """
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        ends = ", ".join(FORMATS)
        raise InputError(f"{path}: a configuration's name must end with one of {ends}.")
    try:
        values = _parse(path, format)
        names = [name for name, _ in _flat(values, "")]
        twice = sorted({name for name in names if names.count(name) > 1})
        _require_plain(values)
        if twice:
            raise InputError(f"two keys are both called `{twice[0]}` once tables are dotted.")
    except InputError as error:
        raise InputError(f"{path}: {one_line(str(error).removeprefix(f'{path}: '))}") from None
    return Configuration(values=values, format=format)


def word(value: Any) -> str:
    """A value as one would type it: ``0.1``, ``true``, ``not set``."""
    if value is UNSET or isinstance(value, Unset):
        return repr(UNSET)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def same(a: Any, b: Any) -> bool:
    """Whether two values are one setting: ``1`` and ``1.0`` are, ``1`` and ``true`` are not."""
    if isinstance(a, Unset) or isinstance(b, Unset):
        return isinstance(a, Unset) and isinstance(b, Unset)
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b)


def kind(value: Any) -> str:
    """Name the kind of a value in words; a number is a number, whole or not."""
    if isinstance(value, Unset) or value is None:
        return "nothing"
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (list, "a list"),
    ]
    return next((said for type_, said in kinds if isinstance(value, type_)), "a date or time")


def _flat(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _require_plain(values: Mapping[str, Any]) -> None:
    """Refuse what the run's own JSON files cannot keep: dates, infinities, NaN."""
    for name, value in _flat(values, ""):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, float) and not math.isfinite(item):
                raise InputError(f"`{name}` is {item}: numbers must be finite here.")
            if item is not None and not isinstance(item, (bool, int, float, str, list, dict)):
                raise InputError(f"`{name}` is {kind(item)}: write it as text in quotes.")


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    """Set or take out what a dotted name means; keys may hold dots themselves."""
    inside, key = _holder(nested, name)
    if not isinstance(value, Unset):
        inside[key] = copy.deepcopy(value)
    else:
        inside.pop(key, None)


def _holder(nested: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    if name in nested:
        return nested, name
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        inside = nested.get(".".join(parts[:split]), _MISSING)
        if isinstance(inside, dict):
            return _holder(inside, ".".join(parts[split:]))
    if len(parts) == 1:
        return nested, name
    inside = {}
    nested[parts[0]] = inside
    return _holder(inside, ".".join(parts[1:]))


def _parse(path: Path, format: str) -> dict[str, Any]:
    if format == "yaml":
        return read_mapping(path, most_bytes=MAX_BYTES)
    try:
        if path.exists() and not path.is_file():
            raise InputError("a configuration file is needed here, but this is none.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"a configuration has at most {MAX_BYTES} bytes, but this one has more.")
    if format == "json":
        values = parse_json(content, where=str(path))
    else:
        try:
            values = tomllib.loads(content.decode("utf-8-sig"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"not valid TOML: {error}.") from None
    if not isinstance(values, dict):
        raise InputError("a configuration maps keys to values, but this one does not.")
    if not values:
        raise InputError("a configuration holds keys and values, but this one is empty.")
    return values
