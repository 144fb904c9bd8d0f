"""Runs stages one after the other over one journal: what to start, what goes on, what is over.

Knows nothing of Ray: `search.engine.run` feeds it from Ray Tune, tests and replays from a list.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec


class Wait(enum.Enum):
    """Answers of a stage that has no trial to start."""

    FOR_RUNNING = "something still runs that decides what comes next"
    NO_MORE = "the stage is over"


class Stage(Protocol):
    """One step of the plan; all it knows of the past is in the journal."""

    name: str

    def next(self) -> TrialSpec | Wait:
        """The next trial to start, or why there is none now."""

    def goes_on(self, trial: Trial) -> bool:
        """Whether a trial that just reported an epoch, not its last, is trained further."""

    def ended(self, trial: Trial) -> None:
        """Learn that a trial of this stage ended."""


class Conductor:
    """Asks the current stage for trials and writes every answer into the journal first.

    Args:
        journal: Memory of the run. Trials found running in it are started again before others, and
            so are trials of its last stage that failed: what made them fail may be mended.
        stages: Makers of the stages, in order; each is called when its stage begins, with all
            earlier stages over.
        on_change: Called with every trial that started, reported or ended.
    """

    def __init__(
        self,
        journal: Journal,
        stages: Sequence[Callable[[], Stage]],
        *,
        on_change: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self._journal = journal
        self._stages = list(stages)
        self._stage: Stage | None = None
        self._on_change = on_change
        trials = list(journal.trials.values())
        for trial in trials:
            if trial.status == "failed" and trial.spec.stage == trials[-1].spec.stage:
                # Before a stage is made of the journal: its proposer must know that it runs.
                journal.restart(trial.spec.trial_id)
        self._to_restart = [t for t in journal.trials.values() if t.status == "running"]
        self._running = {t.spec.trial_id for t in self._to_restart}

    @property
    def is_over(self) -> bool:
        """Whether every stage is over."""
        return self._stage is None and not self._stages

    def trial(self, trial_id: str) -> Trial:
        """A trial as the journal knows it now."""
        return self._journal.trials[trial_id]

    def next_trial(self) -> Trial | Wait:
        """The next trial to start; a restarted one carries its records and checkpoint."""
        if self._to_restart:
            trial = self._to_restart.pop(0)
            while self._stage is None or self._stage.name != trial.spec.stage:
                self._begin_stage()
            return trial
        while True:
            if self._stage is None:
                if not self._stages:
                    return Wait.NO_MORE
                self._begin_stage()
            assert self._stage is not None
            answer = self._stage.next()
            if isinstance(answer, TrialSpec):
                trial = self._journal.start(answer)
                self._running.add(answer.trial_id)
                self._on_change(trial)
                return trial
            if answer is Wait.FOR_RUNNING or self._running:
                return Wait.FOR_RUNNING
            self._stage = None

    def report(self, record: Record) -> bool:
        """Note a reported epoch and say whether the trial is trained further."""
        is_new = self._journal.report(record)
        trial = self._journal.trials[record.trial_id]
        if not is_new and record.epoch < trial.epoch and not record.metrics.get("diverged"):
            return True
        if record.metrics.get("diverged"):
            self._end(record.trial_id, "diverged", f"diverged in epoch {record.epoch}")
            return False
        if record.epoch >= trial.spec.recipe.epochs:
            self._end(record.trial_id, "finished")
            return False
        self._on_change(trial)
        if not trial.spec.never_stop and self._stage and not self._stage.goes_on(trial):
            self._end(record.trial_id, "stopped", f"stopped at epoch {record.epoch}")
            return False
        return True

    def place(self, trial_id: str, *, node: str, host: str) -> None:
        """Note on which node a trial runs."""
        self._journal.place(trial_id, node=node, host=host)

    def checkpoint(self, trial_id: str, path: str) -> None:
        """Note where the newest checkpoint of a trial lies."""
        self._journal.checkpoint(trial_id, path)

    def again(self, trial_id: str) -> None:
        """Give a running trial out once more, ahead of others: what was to train it could not."""
        self._to_restart.append(self._journal.trials[trial_id])

    def failed(self, trial_id: str, reason: str) -> None:
        """Note that a trial failed for good; the others go on."""
        if self._journal.trials[trial_id].is_full_length:
            return  # Its result is there; only the weights it was to leave are lost.
        self._end(trial_id, "failed", reason)

    def _begin_stage(self) -> None:
        self._stage = self._stages.pop(0)()

    def _end(self, trial_id: str, status: str, reason: str = "") -> None:
        trial = self._journal.end(trial_id, status, reason)
        self._running.discard(trial_id)
        if self._stage is not None:
            self._stage.ended(trial)
        self._on_change(trial)
