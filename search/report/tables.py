"""Writing of the run's two tables, ``trials.csv`` and ``experiment.csv``."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from search.records.files import write_text
from search.records.trials import Trial
from spaces.recipe import Recipe

Row = dict[str, object]
"""One line of a table: values by column name."""


Values = Callable[[Recipe], Mapping[str, float]]
"""A function from a recipe to its value on each axis."""


def write_trials(path: Path, trials: Iterable[Trial], *, raw: Values, effective: Values) -> None:
    """Write a row per trial of any stage (`trial_rows`)."""
    write_rows(path, trial_rows(trials, raw=raw, effective=effective))


def write_experiment(path: Path, trials: Iterable[Trial], *, raw: Values) -> None:
    """Write a row per run of the attribute and confirm stages (`experiment_rows`)."""
    write_rows(path, experiment_rows(trials, raw=raw))


def trial_rows(trials: Iterable[Trial], *, raw: Values, effective: Values) -> list[Row]:
    """Make a row per trial of any stage: raw and effective values, how it ended, last metrics."""
    return [
        {
            "trial_id": trial.spec.trial_id,
            "stage": trial.spec.stage,
            "role": trial.spec.role,
            "status": trial.status,
            "reason": trial.reason,
            "epochs": trial.epoch,
            "seed": trial.spec.recipe.seed,
            **raw(trial.spec.recipe),
            **{f"effective.{name}": v for name, v in effective(trial.spec.recipe).items()},
            **_last_metrics(trial),
        }
        for trial in trials
    ]


def experiment_rows(trials: Iterable[Trial], *, raw: Values) -> list[Row]:
    """Make a row per run outside of the search: block, levels, last metrics.

    Runs on fewer than all training images say on how many.
    """
    return [
        {
            "trial_id": trial.spec.trial_id,
            "stage": trial.spec.stage,
            "role": trial.spec.role,
            "status": trial.status,
            "block": trial.spec.block,
            "seed": trial.spec.recipe.seed,
            **({} if trial.spec.num_train is None else {"num_train": trial.spec.num_train}),
            **{f"level.{name}": level for name, level in trial.spec.levels.items()},
            **raw(trial.spec.recipe),
            **_last_metrics(trial),
        }
        for trial in trials
        if trial.spec.stage != "search"
    ]


def _last_metrics(trial: Trial) -> dict[str, float]:
    """Collect the newest value of every metric that the trial has reported."""
    newest: dict[str, float] = {}
    for record in trial.records:
        newest |= record.metrics
    return newest


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, with the union of their columns."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
