"""Reads the result of a run where the script left it: a table, JSON, its log, or MLflow."""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands.compare.asked.placeholders import fill
from spaces.errors import InputError

LOG = "log"
MLFLOW = "mlflow"
MOST_BYTES = 64 << 20
_WHICH = re.compile(r"^(?P<what>.*)@(?P<which>last|best)$")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One metric and where a run leaves it.

    Attributes:
        source: ``log``, ``mlflow``, or a file's path with placeholders.
        what: A column, a key with dots, a regular expression with one group, or a metric's name.
        which: ``last`` or ``best`` of several values.
        larger_is_better: Which way is better.
        text: As it was typed.
    """

    source: str
    what: str
    which: str
    larger_is_better: bool
    text: str

    @property
    def name(self) -> str:
        """Name for people: the column or key; for an expression, the expression."""
        return self.what if self.source != LOG else f"{LOG} {self.what}"


def measure_of(text: str, *, larger_is_better: bool | None = None) -> Measure:
    """Read ``FILE:COLUMN``, ``FILE:key.of.json``, ``log:REGEX`` or ``mlflow:NAME``.

    ``@best`` or ``@last`` (the default) behind it says which of several rows counts.

    Args:
        text: As typed.
        larger_is_better: Which way is better; None: by the name.

    Raises:
        InputError: If it is of no such form, or the name does not tell which way is better.
    """
    found = _WHICH.match(text)
    body, which = (found["what"], found["which"]) if found else (text, "last")
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
            raise InputError(f"--metric {text!r} is no regular expression: {error}.") from None
        if groups != 1:
            raise InputError(f"--metric {text!r} must have one group (...) around the number.")
    elif source != MLFLOW and Path(source).suffix.lower() not in _READERS:
        ends = ", ".join(_READERS)
        raise InputError(f"--metric {text!r}: the file's name must end with one of {ends}.")
    if larger_is_better is None:
        larger_is_better = _direction(what, text)
    return Measure(
        source=source, what=what, which=which, larger_is_better=larger_is_better, text=text
    )


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
        where = f"no line of {log.name} matches {measure.what!r}"
    elif measure.source == MLFLOW:
        raise NoResultError("MLflow is asked elsewhere")
    else:
        path = Path(fill(measure.source, filled))
        if not path.is_file():
            raise NoResultError(f"{path} is not there")
        values = list(_READERS[path.suffix.lower()](path, measure.what))
        where = f"{path} holds no `{measure.what}`"
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
        raise NoResultError(f"`{measure.what}` is {numbers[-1]}")
    return numbers[-1]


def _direction(what: str, text: str) -> bool:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", what).lower().replace("_", " ")
    smaller, larger = _SMALLER.search(name), _LARGER.search(name)
    if bool(smaller) == bool(larger):
        raise InputError(
            f"--metric {text!r}: its name does not tell whether more is better; say so with "
            "--direction larger or --direction smaller."
        )
    return bool(larger)


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


_READERS = {".csv": _csv, ".tsv": _tsv, ".json": _json, ".jsonl": _jsonl, ".ndjson": _jsonl}
