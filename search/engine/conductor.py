"""Execution of stages one after the other over one journal, independent of Ray.

`search.engine.run` calls it from Ray Tune; tests and replays call it from a list of reports.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec


class Wait(enum.Enum):
    """Reasons why a stage has no trial to start."""

    FOR_RUNNING = "something still runs that decides what comes next"
    NO_MORE = "the stage is over"


class Stage(Protocol):
    """One step of a run, which reads all earlier results from the journal."""

    name: str

    def next(self) -> TrialSpec | Wait:
        """Return the next trial to start, or why there is none now."""

    def goes_on(self, trial: Trial) -> bool:
        """Whether a trial that has just reported an epoch before its last is trained further."""

    def is_late(self, trial: Trial) -> bool:
        """Whether a trial must end now, though it has not reported since it was let go on."""

    def ended(self, trial: Trial) -> None:
        """Take note that a trial of this stage ended."""

    def num_expected(self) -> Mapping[str, int]:
        """Return how many trials the stage will run as far as is known now, by size name.

        The trials it has started are never more than that. See `search.plan.stage_size`.
        """


class Conductor:
    """The driver of the stages: every trial and decision is written to the journal first.

    Args:
        journal: Memory of the run. Trials that are marked as running in it are started again
            before others, and so are failed trials of its last stage, as the cause of the failure
            may have been removed.
        stages: Functions that make the stages, in order; each is called when its stage begins,
            after all earlier stages ended.
        on_change: Function that is called with every trial that started, reported or ended.
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
                # Before the stage is made, as its proposer reads from the journal that it runs.
                journal.restart(trial.spec.trial_id)
        self._to_restart = [t for t in journal.trials.values() if t.status == "running"]
        self._running = {t.spec.trial_id for t in self._to_restart}

    @property
    def is_over(self) -> bool:
        """Whether all stages have ended."""
        return self._stage is None and not self._stages

    @property
    def num_expected(self) -> Mapping[str, int]:
        """Expected number of trials of the present stage by size name; empty between two stages."""
        return {} if self._stage is None else self._stage.num_expected()

    def trial(self, trial_id: str) -> Trial:
        """Return a trial with its present state."""
        return self._journal.trials[trial_id]

    def full_length(self, trial_ids: Sequence[str]) -> dict[str, Trial]:
        """Return by name those of some trials that were trained to their end."""
        known = {name: self._journal.trials.get(name) for name in trial_ids}
        return {name: trial for name, trial in known.items() if trial and trial.is_full_length}

    def has_diverged(self, trial_id: str) -> bool:
        """Whether a trial is over because its training diverged."""
        trial = self._journal.trials.get(trial_id)
        return trial is not None and trial.status == "diverged"

    def next_trial(self) -> Trial | Wait:
        """Return the next trial to start, with its records if restarted, or why there is none."""
        while True:
            if self._stage is None:
                if not self._stages:
                    return Wait.NO_MORE
                self._begin_stage()
            assert self._stage is not None
            stage = self._stage
            # Those of a later stage wait for it: a run that is topped up goes back to earlier ones.
            restarted = next((t for t in self._to_restart if t.spec.stage == stage.name), None)
            if restarted is not None:
                self._to_restart.remove(restarted)
                return restarted
            answer = stage.next()
            if isinstance(answer, TrialSpec):
                trial = self._journal.start(answer)
                self._running.add(answer.trial_id)
                self._on_change(trial)
                return trial
            if answer is Wait.FOR_RUNNING or self._has_running(stage.name):
                return Wait.FOR_RUNNING
            self._stage = None

    def report(self, record: Record) -> bool:
        """Record a reported epoch; return whether the trial is trained further."""
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
        """Record the node on which a trial runs."""
        self._journal.place(trial_id, node=node, host=host)

    def checkpoint(self, trial_id: str, path: str) -> None:
        """Record the location of the newest checkpoint of a trial."""
        self._journal.checkpoint(trial_id, path)

    def again(self, trial_id: str) -> None:
        """Start a running trial again, before others, because its worker could not begin it."""
        self._to_restart.append(self._journal.trials[trial_id])

    def tick(self) -> None:
        """Do what time alone asks for; to be called about every second."""
        self._journal.tick()

    def late(self) -> list[str]:
        """Names of the trials that run and must not, for the time of their stage is over."""
        if self._stage is None:
            return []
        running = [self._journal.trials[trial_id] for trial_id in self._running]
        here = [t for t in running if t.spec.stage == self._stage.name]
        return sorted(t.spec.trial_id for t in here if self._stage.is_late(t))

    def stop(self, trial_id: str) -> None:
        """Note that a trial was ended between two reports, for the time of its stage is over."""
        epoch = self._journal.trials[trial_id].epoch
        self._end(trial_id, "stopped", f"stopped in epoch {epoch + 1}: the time was up")

    def failed(self, trial_id: str, reason: str) -> None:
        """Record that a trial failed for good; the others go on."""
        if self._journal.trials[trial_id].is_full_length:
            return  # Its results are complete; only its weights are lost.
        self._end(trial_id, "failed", reason)

    def _has_running(self, stage: str) -> bool:
        return any(self._journal.trials[trial_id].spec.stage == stage for trial_id in self._running)

    def _begin_stage(self) -> None:
        self._stage = self._stages.pop(0)()

    def _end(self, trial_id: str, status: str, reason: str = "") -> None:
        trial = self._journal.end(trial_id, status, reason)
        self._running.discard(trial_id)
        if self._stage is not None:
            self._stage.ended(trial)
        self._on_change(trial)
