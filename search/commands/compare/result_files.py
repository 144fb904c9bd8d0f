"""Reads the result of a run where the script left it: a table, JSON, its log, or MLflow.

Where it is not there, the message says what is: files, columns, keys, the last line of the log.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from search.commands.compare.asked.measuring import LOG, MLFLOW, Measure
from search.commands.compare.asked.placeholders import fill

MOST_BYTES = 64 << 20
_MOST_NAMED = 12
"""Files, columns or keys that a message lists where a result is missing."""


class NoResultError(Exception):
    """A run left no number where one was to be; the message says what was found instead."""


class NoNumberError(NoResultError):
    """The place of the number is there, but empty or not finite: a training that diverged, say."""


def measured(measure: Measure, *, filled: Mapping[str, str], log: Path) -> float:
    """The number that a run left.

    Args:
        measure: What to read.
        filled: Values of the placeholders of this run.
        log: File with everything that the script printed.

    Raises:
        NoResultError: If there is none, or it is no finite number.
    """
    if measure.source == LOG:
        text = _content(log).decode(errors="replace")
        values: list[Any] = re.findall(measure.what, text)
        where = f"no line of {log.name} matches {measure.what!r}{_last_line_of(text)}"
    elif measure.source == MLFLOW:
        raise NoResultError("MLflow is asked elsewhere")
    else:
        path = result_path(measure, filled)
        if not path.is_file():
            raise NoResultError(f"{path} is not there{_held_by(Path(filled['dir']))}")
        read, names_in = _READERS[path.suffix.lower()]
        values = list(read(path, measure.what))
        where = f"{path} holds no `{measure.what}`"
        if not any(number is not None for number in map(_number, values)):
            names = names_in(path)
            if measure.what in names:
                raise NoNumberError(f"`{measure.what}` is in {path}, but no number")
            where += _named(", but ", names)
    return chosen(values, measure, where)


def chosen(values: list[Any], measure: Measure, where: str) -> float:
    """The one value of several that counts, as a number.

    Raises:
        NoResultError: If there is no finite number; ``where`` says where it was looked for.
    """
    numbers = [number for number in map(_number, values) if number is not None]
    if not numbers:
        raise NoResultError(where)
    finite = [number for number in numbers if math.isfinite(number)]
    if measure.which == "best" and finite:
        return max(finite) if measure.larger_is_better else min(finite)
    if not math.isfinite(numbers[-1]):
        raise NoNumberError(f"`{measure.what}` is {numbers[-1]}")
    return numbers[-1]


def result_path(measure: Measure, filled: Mapping[str, str]) -> Path:
    """The file of a result; a relative path is in the run's directory, where no other run writes.

    Args:
        measure: One that is read from a file.
        filled: Values of the placeholders of this run.
    """
    return Path(filled["dir"], fill(measure.source, filled))


def _held_by(directory: Path) -> str:
    """The files in a run's directory, for a message; those that we write are no news."""
    own = {"log.txt", "exit.json", "config.yaml", "config.json", "config.toml"}
    files = sorted(
        str(path.relative_to(directory))
        for path in islice(directory.rglob("*"), 1000)
        if path.is_file() and str(path.relative_to(directory)) not in own
    )
    return _named("; the run's directory holds ", files) or "; the script wrote no file there"


def _named(before: str, names: Sequence[str]) -> str:
    """A list for a message, cut short; empty where there is nothing."""
    if not names:
        return ""
    shown = ", ".join(name[:60] for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{before}{shown}{more}"


def _last_line_of(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"; the last one is {lines[-1][:200]!r}" if lines else "; it is empty"


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise NoResultError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise NoResultError(f"{path} has more than {MOST_BYTES >> 20} MB")
    return content


def _table(path: Path, what: str, delimiter: str) -> Iterator[Any]:
    text = _content(path).decode("utf-8-sig", errors="replace")
    try:
        for row in csv.DictReader(text.splitlines(), delimiter=delimiter):
            # A row that was cut off has None where the column would be.
            if row.get(what) not in (None, ""):
                yield row[what]
    except csv.Error as error:
        raise NoResultError(f"{path} is no table: {error}") from None


def _csv(path: Path, what: str) -> Iterator[Any]:
    return _table(path, what, ",")


def _tsv(path: Path, what: str) -> Iterator[Any]:
    return _table(path, what, "\t")


def _json(path: Path, what: str) -> Iterator[Any]:
    try:
        data = json.loads(_content(path))
    except (ValueError, RecursionError):
        raise NoResultError(f"{path} is no JSON") from None
    found = _at(data, what)
    yield from found if isinstance(found, list) else [found]


def _jsonl(path: Path, what: str) -> Iterator[Any]:
    for line in _content(path).decode(errors="replace").splitlines():
        try:
            yield _at(json.loads(line), what)
        except (ValueError, RecursionError):
            continue  # A line that a kill cut off, or one of another kind.


def _at(data: Any, what: str) -> Any:
    """Look up a dotted key; None where there is none."""
    if isinstance(data, dict):
        if what in data:
            return data[what]
        head, _, rest = what.partition(".")
        return _at(data[head], rest) if rest and head in data else None
    return None


def _columns(path: Path, delimiter: str) -> list[str]:
    text = _content(path).decode("utf-8-sig", errors="replace")
    return [
        name for name in next(csv.reader(text.splitlines()[:1], delimiter=delimiter), []) if name
    ]


def _keys(path: Path) -> list[str]:
    """Keys of a JSON file, with dots."""
    return list(dict.fromkeys(_leaves(json.loads(_content(path)))))


def _line_keys(path: Path) -> list[str]:
    """Keys of the objects of a file with one on each line."""
    found: dict[str, None] = {}
    for line in _content(path).decode(errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            found |= dict.fromkeys(_leaves(json.loads(line)))
    return list(found)


def _leaves(data: Any, before: str = "") -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, f"{before}.{key}" if before else str(key))
    elif before:
        yield before


_READERS: dict[str, tuple[Callable[[Path, str], Iterator[Any]], Callable[[Path], list[str]]]] = {
    ".csv": (_csv, lambda path: _columns(path, ",")),
    ".tsv": (_tsv, lambda path: _columns(path, "\t")),
    ".json": (_json, _keys),
    ".jsonl": (_jsonl, _line_keys),
    ".ndjson": (_jsonl, _line_keys),
}
"""By the ending of a file: what reads its values, and what names those that it has."""
