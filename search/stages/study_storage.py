"""Where the search's Optuna study is kept: a file for dashboards, and the trials TPE is shown."""

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
"""Trials that a proposal is modelled on; 250 or more have the same good ones, `NUM_BEST`."""
NUM_BEST = 25
"""Trials that TPE calls good, at most; Optuna's default."""
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED)
_Merit = tuple[bool, int, float, int]


class UnsyncedFile(JournalFileBackend):
    """Optuna's journal without a sync and a lock for each of the twenty lines a trial makes.

    It is written by one process and never read back: what a crash cuts off is rebuilt.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines in one write, so that a dashboard never reads half of them for long."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("ab", buffering=0) as file:
            file.write(lines.encode())


class StudyStorage(JournalStorage):
    """Keeps all trials of one study and shows the sampler those that matter.

    Optuna's own storage goes through all trials that there ever were, several times a proposal.
    This one keeps those it shows as Optuna last gave them, and asks again for those that changed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(UnsyncedFile(path))
        # By id, in the order of their start; None where a trial changed since it was last read.
        self._shown: dict[int, FrozenTrial | None] = {}
        self._just_ended: list[int] = []
        # Two heaps of those that ended and are shown: the worst good one first, the oldest other.
        self._good: list[tuple[_Merit, int]] = []
        self._others: list[int] = []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Note a trial, which may have ended already."""
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
        """Set a position of a trial, which is read anew."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._shown[trial_id] = None

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set a score of a trial, which is read anew."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._shown[trial_id] = None

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set what we say of a trial, which is read anew."""
        super().set_trial_user_attr(trial_id, key, value)
        self._shown[trial_id] = None

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set what Optuna says of a trial, which is read anew."""
        super().set_trial_system_attr(trial_id, key, value)
        self._shown[trial_id] = None

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Note a trial that begins or ends, which is read anew."""
        was_set = super().set_trial_state_values(trial_id, state, values)
        self._shown[trial_id] = None
        if state in _TEACHES:
            self._just_ended.append(trial_id)
        return was_set

    def leave_out_old_ones(self) -> None:
        """Show at most `MOST_TRIALS` that ended from now on; depends on nothing but the trials.

        With each trial that ends the good ones only get better and the others more, so what is left
        out once stays so, and only the trials that are new need to be looked at.
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
        """All trials of the one study there is, but those that are left out."""
        for trial_id in [key for key, known in self._shown.items() if known is None]:
            self._shown[trial_id] = self.get_trial(trial_id)
        shown = [trial for trial in self._shown.values() if trial is not None]
        trials = [trial for trial in shown if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def _merit(trial: optuna.trial.FrozenTrial) -> _Merit:
    """The order in which TPE calls trials good: complete ones first, then those that got far."""
    step = trial.last_step or 0
    value = trial.value if trial.state is TrialState.COMPLETE else trial.intermediate_values[step]
    assert value is not None
    is_complete = trial.state is TrialState.COMPLETE
    return is_complete, 0 if is_complete else step, value, -trial.number
