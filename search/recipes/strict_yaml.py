"""Strict YAML of keys and plain values, read without surprises and written to read back equal.

Nothing here knows what a recipe is, and little is imported: a worker that only runs somebody's
script reads its configuration by it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from search.records.strict_json import is_text
from spaces.errors import InputError

MAX_BYTES = 64 * 1024
"""Largest size of a recipe file in bytes: twelve times that of a full ``args.yaml``."""
_MAX_DEPTH = 8
_INT_BOUND = 2**63


def read_mapping(
    path: Path, *, noun: str = "configuration", most_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """Read a YAML file of keys and plain values.

    Args:
        path: The file.
        noun: What it is called in messages.
        most_bytes: A longer file is refused.

    Raises:
        InputError: If it cannot be read, is not YAML, or holds anything but plain values under
            text keys.
    """
    return _parse(_read_text(path, noun, most_bytes), noun)


def comment_block(comments: Sequence[str]) -> str:
    """Format comments as lines that start with ``#``."""
    lines = [line for comment in comments for line in comment.splitlines() or [""]]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Write values as block YAML in the given order, read alike by this module and PyYAML."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, width=1000)


def number_text(value: float) -> str:
    """Format a number as the shortest decimal that reads back equal, with an exponent if long.

    An exponent is written with a point and a sign, as YAML 1.1 reads ``1e-08`` as text.
    """
    shortest = repr(value)
    if "e" not in shortest:
        return shortest
    fixed = format(Decimal(shortest), "f")
    if len(fixed) <= 20:
        return fixed if "." in fixed else f"{fixed}.0"
    mantissa, exponent = shortest.split("e")
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{int(exponent):+d}"


def _read_text(path: Path, noun: str, most_bytes: int) -> str:
    try:
        if path.is_dir():
            raise InputError(f"a {noun} file is needed here, but this is a folder.")
        if not path.exists():
            raise InputError("there is no such file.")
        if not path.is_file():  # Reading a device or a pipe might never end.
            raise InputError(f"a {noun} file is needed here, but this is a device or a pipe.")
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}.") from None
    if len(raw) > most_bytes:
        raise InputError(f"a {noun} file has at most {most_bytes} bytes, but this one has more.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"a {noun} file is UTF-8 text, but byte {error.start} is not.") from None
    if not text.strip():
        raise InputError(f"a {noun} file holds keys and values, but this one is empty.")
    return text


def _parse(text: str, noun: str) -> dict[str, Any]:
    try:
        _refuse_bombs(text, noun)
        data = yaml.load(text, Loader=_Loader)  # A SafeLoader: it builds plain values only.
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"not valid YAML, {where}{error.problem or error.context}.") from None
    except yaml.reader.ReaderError as error:
        raise InputError(
            f"not valid YAML, character {error.position} is not text ({error.reason})."
        ) from None
    if data is None:
        raise InputError(f"a {noun} file holds keys and values, but this one has only comments.")
    if not isinstance(data, dict):
        raise InputError(f"a {noun} file maps keys to values, but this one is {_kind(data)}.")
    return data


def _refuse_bombs(text: str, noun: str) -> None:
    """Refuse what costs unbounded time or stack to build, before anything is built.

    An alias repeats a node, so ten lines of them make a billion values. The parser is iterative,
    but the composer after it recurses once per level.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"line {_line(event)}: YAML aliases are not allowed in a {noun} file.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise InputError(f"line {_line(event)}: nested more than {_MAX_DEPTH} levels deep.")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise InputError(f"line {_line(event)}: YAML tags ({tag}) are not allowed.")


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return event.start_mark.line + 1


_KINDS = {str: "text", list: "a list", bool: "a single value", int: "a number", float: "a number"}


def _kind(data: object) -> str:
    return _KINDS.get(type(data), "a single value")


_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_INT = re.compile(r"^[-+]?[0-9]{1,30}$")


class _Loader(yaml.SafeLoader):
    """A YAML loader for plain values, with the numbers of YAML 1.2 and without duplicate keys.

    PyYAML's own rules read ``1e-3`` as text and ``12:30:45`` and ``0_1`` as integers.
    """

    def construct_unique_mapping(self, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
        result: dict[Any, Any] = {}
        yield result
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text", key_node.start_mark
                )
            if key in result:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            value = self.construct_object(value_node, deep=True)
            result[key] = value

    def construct_bounded_int(self, node: yaml.ScalarNode) -> int:
        value = int(str(node.value))
        if abs(value) >= _INT_BOUND:
            raise yaml.constructor.ConstructorError(
                None, None, f"the number {value} is beyond 64 bits", node.start_mark
            )
        return value

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """Construct text; raise on NUL and lone surrogates, which no path or file can hold."""
        text = str(node.value)
        if not is_text(text):
            raise yaml.constructor.ConstructorError(
                None, None, f"the text {text[:40]!a} cannot be written to a file", node.start_mark
            )
        return text


class _Dumper(yaml.SafeDumper):
    """A YAML dumper that quotes text which YAML 1.1 or 1.2 would read as another type."""


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", number_text(value))


_PREFIX = "tag:yaml.org,2002:"
_KEPT = (f"{_PREFIX}bool", f"{_PREFIX}null")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(f"{_PREFIX}map", _Loader.construct_unique_mapping)
_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_bounded_int)
_Loader.add_constructor(f"{_PREFIX}str", _Loader.construct_text)
_Dumper.add_representer(float, _represent_float)
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(f"{_PREFIX}int", _INT, list("-+0123456789"))
    _class.add_implicit_resolver(f"{_PREFIX}float", _FLOAT, list("-+0123456789."))
