"""Storage of the search's Optuna study: a file for dashboards, and the trials TPE models."""

import copy
import heapq
import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

MOST_TRIALS = 500
"""Largest number of ended trials that TPE is shown.

From 250 trials on TPE calls the same number of them good (`NUM_BEST`).
"""
NUM_BEST = 25
"""Largest number of trials that TPE calls good; Optuna's default."""
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED)
_Merit = tuple[bool, int, float, int]


class UnsyncedFile(JournalFileBackend):
    """Optuna's journal file, written without a lock and a disk sync for each line.

    A trial writes twenty lines. The file has one writer and is never read back: after a crash the
    study is rebuilt from the run's journal.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append the lines in one write, so that a dashboard hardly ever reads half of them."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("ab", buffering=0) as file:
            file.write(lines.encode())


class StudyStorage(JournalStorage):
    """Storage of one study that keeps all trials and shows the sampler at most `MOST_TRIALS`.

    Optuna's own storage goes through all trials several times per proposal. This one keeps copies
    of the shown trials and reads only those anew that changed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(UnsyncedFile(path))
        # By id, in the order of their start; None where a trial changed since it was last read.
        self._shown: dict[int, FrozenTrial | None] = {}
        self._just_ended: list[int] = []
        # Two heaps of ended, shown trials: the good ones with the worst on top, and the others with
        # the oldest on top.
        self._good: list[tuple[_Merit, int]] = []
        self._others: list[int] = []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, which may have ended already, and mark it to be read."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._shown[trial_id] = None
        if template_trial is not None and template_trial.state in _TEACHES:
            self._just_ended.append(trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a trial's position on one axis and mark the trial to be read anew."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._shown[trial_id] = None

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set a trial's score at one epoch and mark the trial to be read anew."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._shown[trial_id] = None

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial and mark the trial to be read anew."""
        super().set_trial_user_attr(trial_id, key, value)
        self._shown[trial_id] = None

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one of Optuna's own attributes of a trial and mark the trial to be read anew."""
        super().set_trial_system_attr(trial_id, key, value)
        self._shown[trial_id] = None

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the state of a trial that begins or ends and mark the trial to be read anew."""
        was_set = super().set_trial_state_values(trial_id, state, values)
        self._shown[trial_id] = None
        if state in _TEACHES:
            self._just_ended.append(trial_id)
        return was_set

    def leave_out_old_ones(self) -> None:
        """Show at most `MOST_TRIALS` ended trials: the good ones and the newest others.

        With each trial that ends the good ones only get better and the others more, so a trial left
        out once stays out, and only new trials need to be looked at. The result depends on the
        trials alone.
        """
        for trial_id in self._just_ended:
            heapq.heappush(self._good, (_merit(self.get_trial(trial_id)), trial_id))
            if len(self._good) > NUM_BEST:
                heapq.heappush(self._others, heapq.heappop(self._good)[1])
        self._just_ended.clear()
        while len(self._good) + len(self._others) > MOST_TRIALS:
            del self._shown[heapq.heappop(self._others)]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the shown trials of the one study there is."""
        for trial_id in [key for key, known in self._shown.items() if known is None]:
            self._shown[trial_id] = self.get_trial(trial_id)
        shown = [trial for trial in self._shown.values() if trial is not None]
        trials = [trial for trial in shown if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def _merit(trial: optuna.trial.FrozenTrial) -> _Merit:
    """Return the key by which TPE ranks trials, larger being better.

    Complete trials come before stopped ones, and these by how far they got, then by score.
    """
    step = trial.last_step or 0
    value = trial.value if trial.state is TrialState.COMPLETE else trial.intermediate_values[step]
    assert value is not None
    is_complete = trial.state is TrialState.COMPLETE
    return is_complete, 0 if is_complete else step, value, -trial.number
