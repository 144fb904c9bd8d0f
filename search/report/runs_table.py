"""The report's table of all runs, sortable by any column, with stages that can be hidden."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.records.metrics import ALWAYS, TOP1, Metric
from search.records.trials import STAGES, Trial
from search.report.figures.marks import WORDS
from search.verdict.wording import raw
from spaces.space import Space

_STAGE_WORDS = {
    "search": "search",
    "attribute": "experiment",
    "confirm": "confirmation",
    "refine": "values between",
    "learning_curve": "half of the images",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """One column of numbers.

    Attributes:
        head: Head of the column.
        value: Function from a trial to its value; None for an empty cell.
        text: Function that formats a value.
    """

    head: str
    value: Callable[[Trial], float | None]
    text: Callable[[float], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSwitch:
    """A checkbox that hides the runs of a stage: stage, label and number of runs."""

    name: str
    words: str
    num_runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number as displayed text, and the value by which its column is sorted."""

    text: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """One row of the table of runs.

    Attributes:
        trial_id: Name of the trial.
        stage: Its stage, by which it can be hidden.
        what: Purpose of the run, such as its anchor or block.
        ended: How it ended, or ``running``.
        is_cut: Whether it was stopped early or failed.
        numbers: One number per column; None for an empty cell.
    """

    trial_id: str
    stage: str
    what: str
    ended: str
    is_cut: bool
    numbers: tuple[Number | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsTable:
    """The table of all runs: stages that can be hidden, heads of the number columns, and rows."""

    stages: tuple[StageSwitch, ...]
    columns: tuple[str, ...]
    rows: tuple[RunRow, ...]


def runs_table(
    trials: Sequence[Trial], metric: Metric = TOP1, *, space: Space, shows_test: bool
) -> RunsTable:
    """Build the table of the runs of all stages.

    Args:
        trials: All trials, in the order they were started.
        metric: The metric that decides first.
        space: Search space; each of its strengths and extra axes has a column.
        shows_test: Whether results on test images are shown: only once nothing can be chosen by
            them.
    """
    shares = tuple(dict.fromkeys((metric, TOP1)))
    columns = [
        _Column(head="epochs", value=lambda t: float(t.epoch), text="{:.0f}".format),
        *(_searched(name, space) for name in space.names),
        *(_metric(shown, "val", "val") for shown in dict.fromkeys((metric, *ALWAYS))),
        *(_metric(shown, "clean_train", "training") for shown in shares),
    ]
    if shows_test:
        columns += [_metric(shown, "test", "test") for shown in shares]
    columns.append(_Column(head="seconds", value=_seconds, text="{:.0f}".format))
    counts = Counter(trial.spec.stage for trial in trials)
    return RunsTable(
        stages=tuple(
            StageSwitch(name=stage, words=_STAGE_WORDS[stage], num_runs=counts[stage])
            for stage in STAGES
            if counts[stage]
        ),
        columns=tuple(column.head for column in columns),
        rows=tuple(_row(trial, columns) for trial in trials),
    )


def what(trial: Trial) -> str:
    """Describe the purpose of a trial in words, such as its anchor, rerun or block."""
    spec = trial.spec
    if spec.role.startswith("anchor:"):
        return f"baseline: {WORDS.get(spec.role.removeprefix('anchor:'), spec.role)}"
    if spec.rerun_of is not None:
        return f"{spec.rerun_of} again, fresh seed"
    if spec.levels:
        levels = set(spec.levels.values())
        mixed = "mixed" if len(levels) > 1 else f"all of {'best' if 1 in levels else 'reference'}"
        return f"block {spec.block}: {mixed}"
    return WORDS.get(spec.role, spec.role)


def _row(trial: Trial, columns: Sequence[_Column]) -> RunRow:
    ended = trial.reason if trial.reason.startswith(trial.status) else trial.status
    if trial.reason not in ("", ended):
        ended += f": {trial.reason}"
    return RunRow(
        trial_id=trial.spec.trial_id,
        stage=trial.spec.stage,
        what=what(trial),
        ended=ended,
        is_cut=trial.status not in ("finished", "running"),
        numbers=tuple(_number(column, column.value(trial)) for column in columns),
    )


def _number(column: _Column, value: float | None) -> Number | None:
    if value is None or not math.isfinite(value):
        return None
    return Number(text=column.text(value), value=f"{value:.9g}")


def _searched(name: str, space: Space) -> _Column:
    return _Column(
        head=name,
        value=lambda trial: space.raw_of(trial.spec.recipe)[name],
        text=raw,
    )


def _metric(metric: Metric, where: str, words: str) -> _Column:
    def value(trial: Trial) -> float | None:
        newest = trial.last(metric.on(where))
        return None if newest is None else metric.unit.scale * newest

    mark = f", {metric.unit.mark.strip()}" if metric.unit.mark else ""
    return _Column(head=f"{words} {metric.head}{mark}", value=value, text=metric.unit.number)


def _seconds(trial: Trial) -> float:
    return sum(
        record.metrics.get("cost/train_s", 0.0) + record.metrics.get("cost/eval_s", 0.0)
        for record in trial.records
    )
