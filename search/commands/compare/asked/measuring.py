"""Reads the result of a run where the script left it: a table, JSON, its log, or MLflow."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from search.commands.compare.asked.placeholders import fill
from spaces.errors import InputError

LOG = "log"
MLFLOW = "mlflow"
MOST_BYTES = 64 << 20
_ENDING = re.compile(r"^(?P<body>.+)[:@](?P<word>last|best|max|min)$", re.DOTALL)
_HAS_KEY = re.compile(r"^.+:.+$", re.DOTALL)
_MOST_NAMED = 12
"""Files, columns or keys that a message lists where a result is missing."""
_SMALLER = re.compile(
    r"(^|[^a-z])(loss|nll|error|err|mse|rmse|mae|mape|perplexity|ppl|wer|cer|fid|ece|brier|time|"
    r"seconds|latency)([^a-z]|$)"
)
_LARGER = re.compile(
    r"(^|[^a-z])(acc|accuracy|top_?[15]|acc[15]|auc|auroc|ap|map|f1|precision|recall|score|r2|iou|"
    r"miou|dice|bleu|rouge|psnr|ssim|correct)([^a-z]|$)"
)


class NoResultError(Exception):
    """A run left no number where one was to be; the message says what was found instead."""


class NotFiniteError(NoResultError):
    """The number is there, but it is infinite or no number: training diverged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One metric and where a run leaves it.

    Attributes:
        source: ``log``, ``mlflow``, or a file's path with placeholders.
        what: A column, a key with dots, a regular expression with one group, or a metric's name.
        which: ``last`` or ``best`` of several values.
        larger_is_better: Which way is better; None where that is not known, which only a metric
            that decides nothing may leave open.
        text: As it was typed.
    """

    source: str
    what: str
    which: str
    larger_is_better: bool | None
    text: str

    @property
    def name(self) -> str:
        """Name for people: the column or key; for an expression, the expression."""
        return self.what if self.source != LOG else f"{LOG} {self.what}"


def measure_of(text: str, *, larger_is_better: bool | None = None, decides: bool = True) -> Measure:
    """Read ``FILE:COLUMN``, ``FILE:key.of.json``, ``log:REGEX`` or ``mlflow:NAME``.

    ``:last`` (the default) or ``:best`` behind it says which of several rows counts, ``:max`` or
    ``:min`` which way is better; ``@last`` and ``@best`` do as well.

    Args:
        text: As typed.
        larger_is_better: Which way is better; None: by the ending, else by the name.
        decides: Whether decisions rest on it, so that it must be known which way is better.

    Raises:
        InputError: If it is of no such form, or it is not known which way is better.
    """
    body, which, said = _endings(text)
    if said is not None and larger_is_better not in (None, said):
        raise InputError(f"`--metric` {text!r} and `--direction` must say the same.")
    if body.startswith((f"{LOG}:", f"{MLFLOW}:")):
        source, _, what = body.partition(":")
    else:
        source, _, what = body.rpartition(":")
    if not source or not what:
        raise InputError(
            f"`--metric` must be FILE:COLUMN, FILE:key, log:REGEX or mlflow:NAME, but got {text!r}."
        )
    if source == LOG:
        try:
            groups = re.compile(what).groups
        except re.error as error:
            raise InputError(f"`--metric` {text!r} is no regular expression: {error}.") from None
        if groups != 1:
            raise InputError(f"`--metric` {text!r} must have one group (...) around the number.")
    elif source != MLFLOW and Path(source).suffix.lower() not in _READERS:
        ends = ", ".join(_READERS)
        raise InputError(f"`--metric` {text!r}: the file's name must end with one of {ends}.")
    known = (larger_is_better, said, _by_name(what))
    better = next((way for way in known if way is not None), None)
    if better is None and (decides or which == "best"):
        raise InputError(
            f"`--metric` {text!r}: its name does not tell whether more is better; say so with :max "
            "or :min behind it, or with `--direction`."
        )
    return Measure(source=source, what=what, which=which, larger_is_better=better, text=text)


def _endings(text: str) -> tuple[str, str, bool | None]:
    """Part the endings from a metric: the rest, which row counts, and whether more is better."""
    which, better = "last", None
    while (found := _ENDING.match(text)) and _HAS_KEY.match(found["body"]):
        if found["word"] in ("max", "min"):
            better = found["word"] == "max"
        else:
            which = found["word"]
        text = found["body"]
    return text, which, better


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
            where += _named(", but ", names_in(path))
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
        raise NotFiniteError(f"`{measure.what}` is {numbers[-1]}")
    return numbers[-1]


def result_path(measure: Measure, filled: Mapping[str, str]) -> Path:
    """The file of a result; a relative path is in the run's directory, where no other run writes.

    Args:
        measure: One that is read from a file.
        filled: Values of the placeholders of this run.
    """
    return Path(filled["dir"], fill(measure.source, filled))


def _by_name(what: str) -> bool | None:
    """Whether more is better by the usual names; None where they do not tell."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", what).lower().replace("_", " ")
    smaller, larger = _SMALLER.search(name), _LARGER.search(name)
    return None if bool(smaller) == bool(larger) else bool(larger)


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
    """Keys of a JSON file that lead to a number, with dots."""
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
    elif before and (_number(data) is not None or isinstance(data, list)):
        yield before


_READERS: dict[str, tuple[Callable[[Path, str], Iterator[Any]], Callable[[Path], list[str]]]] = {
    ".csv": (_csv, lambda path: _columns(path, ",")),
    ".tsv": (_tsv, lambda path: _columns(path, "\t")),
    ".json": (_json, _keys),
    ".jsonl": (_jsonl, _line_keys),
    ".ndjson": (_jsonl, _line_keys),
}
"""By the ending of a file: what reads its values, and what names those that it has."""
