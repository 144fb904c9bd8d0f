"""The result of a comparison of somebody's script, read from its run directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from search.records.files import read_json
from search.records.strict_json import build
from search.report.notebook import table_html
from search.report.render import Table
from spaces.errors import InputError

FILE = "verdict.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A key, or a group of keys, in which the two configurations differ.

    Attributes:
        name: The dotted key, or the name of the group.
        turn: ``take`` the best's value, which helps; ``keep`` yours, for it hurts; ``leave``, as it
            makes no difference that matters; or ``inconclusive``.
        reference: Your value, as text.
        best: The best's value, as text.
        recommended: Whichever of both the configuration has that is written out.
        interval: 95 % interval of the effect of the best's value on the metric that decides, in the
            unit of the script; None if it cannot be estimated.
    """

    name: str
    turn: str
    reference: str
    best: str
    recommended: str
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """The findings of a comparison: which of the differences of two configurations matter.

    Attributes:
        path: Directory of the run, with ``report.html`` and all other files.
        sentence: What to do with each difference, in one sentence.
        dials: The differences by name.
        advised: The configuration to go on with, as its file nests it.
        advised_file: That file, in the format of your own configuration.
        experiment: A row per run of the script: levels, results, seconds.
    """

    path: Path
    sentence: str
    dials: Mapping[str, Difference]
    advised: Mapping[str, Any]
    advised_file: Path
    experiment: pd.DataFrame = field(repr=False)

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        head = ("setting", "turn", "yours", "best", "95 % interval of its effect")
        rows = tuple(
            (f"`{one.name}`", one.turn, one.reference, one.best, _interval_text(one.interval))
            for one in self.dials.values()
        )
        remarks = (f"{self.path}: report.html has all of this; {self.advised_file.name} to go on.",)
        return table_html(self.sentence, rows=Table(head=head, rows=rows), remarks=remarks)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Effect:
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Factor:
    """The fields of a factor that are read."""

    name: str
    turn: str
    reference: str
    best: str
    recommended: str
    effect: Mapping[str, _Effect]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Metric:
    read_from: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """The fields of ``verdict.json`` that are read."""

    sentence: str
    metric: _Metric
    dials: tuple[_Factor, ...]
    advised: Mapping[str, Any]


def read_comparison(path: Path) -> Comparison:
    """Read a finished comparison; nothing is written.

    Args:
        path: Directory of the run.

    Raises:
        InputError: If it has not ended.
    """
    if not (path / FILE).is_file():
        raise InputError(
            f"{path} must have ended, but has no verdict yet; go on with: "
            f"search.compare(run={str(path)!r})"
        )
    said = build(_Said, read_json(path / FILE), where=str(path / FILE))
    return Comparison(
        path=path,
        sentence=said.sentence,
        dials=MappingProxyType(
            {factor.name: _difference(factor, said.metric.read_from) for factor in said.dials}
        ),
        advised=MappingProxyType(dict(said.advised)),
        advised_file=next(iter(sorted(path.glob("advised.*")))),
        experiment=pd.read_csv(path / "runs.csv"),
    )


def _difference(factor: _Factor, metric: str) -> Difference:
    effect = factor.effect.get(metric)
    return Difference(
        name=factor.name,
        turn=factor.turn,
        reference=factor.reference,
        best=factor.best,
        recommended=factor.recommended,
        interval=None if effect is None else effect.ci95,
    )


def _interval_text(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:+.4g} to {interval[1]:+.4g}"
