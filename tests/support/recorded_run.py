"""A real run as it was recorded: when each trial started, reported and ended."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from search.plan.stage_size import StageSize
from search.records.trials import Record, Trial, TrialSpec
from spaces.recipe import Recipe

FOLDER = Path(__file__).parent / "recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRun:
    """What happened when, in seconds after the begin of the run.

    Attributes:
        sizes: What its plan expected of each stage.
        num_workers: Trials at once.
        round_size: Trials of a round of the experiment, which lists as many at once.
        events: Every change of a trial, in order.
    """

    sizes: tuple[StageSize, ...]
    num_workers: int
    events: tuple[tuple[float, Trial], ...]

    @property
    def end_s(self) -> float:
        return self.events[-1][0]

    def slower(self, factor: float) -> "RecordedRun":
        """The same on another machine, for which the plan said the same."""
        changed = tuple((factor * at, _slower(trial, factor)) for at, trial in self.events)
        return replace(self, events=changed)


@cache
def recorded_run(name: str) -> RecordedRun:
    """Read a recording; what it holds and how it was made stands in the file."""
    data = json.loads((FOLDER / f"{name}.json").read_text())
    events = [event for told in data["trials"] for event in _events(told, data["epochs"])]
    return RecordedRun(
        sizes=tuple(StageSize(**size) for size in data["stages"]),
        num_workers=data["num_workers"],
        events=tuple(sorted(events, key=lambda event: event[0])),
    )


def _events(told: dict[str, Any], epochs: int) -> Iterator[tuple[float, Trial]]:
    spec = TrialSpec(
        stage=told["stage"],
        number=told["number"],
        role=told["role"],
        recipe=Recipe(epochs=epochs),
        block=told.get("block"),
        rerun_of=told.get("rerun_of"),
    )
    trial = Trial(spec=spec)
    yield told["start"], trial
    for epoch, (at, train_s) in enumerate(zip(told["reports"], told["train_s"], strict=True), 1):
        costs = {"cost/train_s": train_s}
        if str(epoch) in told["eval_s"]:
            costs["cost/eval_s"] = told["eval_s"][str(epoch)]
        record = Record(trial_id=spec.trial_id, stage=spec.stage, epoch=epoch, metrics=costs)
        trial = replace(trial, records=(*trial.records, record))
        if epoch < len(told["reports"]):
            yield at, trial
    yield told["end"], replace(trial, status=told["status"])


def _slower(trial: Trial, factor: float) -> Trial:
    records = tuple(
        replace(r, metrics={name: factor * value for name, value in r.metrics.items()})
        for r in trial.records
    )
    return replace(trial, records=records)
