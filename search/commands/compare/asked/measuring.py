"""Metrics of a script: which number, where a run leaves it, and which way is better."""

import re
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError

LOG = "log"
MLFLOW = "mlflow"
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
"""Endings of files that a result is read from."""
_ENDING = re.compile(r"^(?P<body>.+)[:@](?P<word>last|best|max|min)$", re.DOTALL)
_HAS_KEY = re.compile(r"^.+:.+$", re.DOTALL)
_SMALLER = re.compile(
    r"(^|[^a-z])(loss|nll|error|err|mse|rmse|mae|mape|perplexity|ppl|wer|cer|fid|ece|brier|time|"
    r"seconds|latency)([^a-z]|$)"
)
_LARGER = re.compile(
    r"(^|[^a-z])(acc|accuracy|top_?[15]|acc[15]|auc|auroc|ap|map|f1|precision|recall|score|r2|iou|"
    r"miou|dice|bleu|rouge|psnr|ssim|correct)([^a-z]|$)"
)


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
    elif source != MLFLOW and Path(source).suffix.lower() not in TABLES:
        ends = ", ".join(TABLES)
        raise InputError(f"`--metric` {text!r}: the file's name must end with one of {ends}.")
    known = (larger_is_better, said, _by_name(what))
    better = next((way for way in known if way is not None), None)
    if better is None and (decides or which == "best"):
        raise InputError(
            f"`--metric` {text!r}: its name does not tell whether more is better. If it is spelled "
            "as the script writes it, say so with :max or :min behind it, or with `--direction`."
        )
    return Measure(source=source, what=what, which=which, larger_is_better=better, text=text)


def _endings(text: str) -> tuple[str, str, bool | None]:
    """Part the endings from a metric: the rest, which row counts, and whether more is better."""
    body, said = text, set()
    while (found := _ENDING.match(body)) and _HAS_KEY.match(found["body"]):
        said.add(found["word"])
        body = found["body"]
    if {"max", "min"} <= said or {"last", "best"} <= said:
        raise InputError(
            f"`--metric` {text!r} must end with one of :max and :min, :last and :best."
        )
    better = None if said.isdisjoint(("max", "min")) else "max" in said
    return body, "best" if "best" in said else "last", better


def _by_name(what: str) -> bool | None:
    """Whether more is better by the usual names; None where they do not tell."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", what).lower().replace("_", " ")
    smaller, larger = _SMALLER.search(name), _LARGER.search(name)
    return None if bool(smaller) == bool(larger) else bool(larger)
