"""Optuna's TPE behind three verbs: propose, observe, done.

What stock ``OptunaSearch`` does not: a stopped trial is told as PRUNED with its last value at its
step, so that TPE never ranks an early value against a full-length one; a diverged trial is told as
FAIL; the study carries the run's name and lies in the run directory, where optuna-dashboard can
open it while the search runs; and it can be rebuilt from the journal.
"""

import copy
import hashlib
import heapq
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.records.metrics import score
from search.records.trials import Trial

MOST_TRIALS = 500
"""Trials that a proposal is modelled on; 250 or more have the same good ones, `NUM_BEST`."""
NUM_BEST = 25
"""Trials that TPE calls good, at most; Optuna's default."""
_POSITION = FloatDistribution(0.0, 1.0)
_TEACHES = (TrialState.COMPLETE, TrialState.PRUNED)
_Merit = tuple[bool, int, float, int]


class _UnsyncedFile(JournalFileBackend):
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


class _ManyTrials(JournalStorage):
    """Optuna's storage of a study with all trials, of which the sampler sees those that matter."""

    def __init__(self, backend: JournalFileBackend) -> None:
        super().__init__(backend)
        self._shown: dict[int, None] = {}  # As an ordered set of their ids, like the others below.
        self._just_ended: list[int] = []
        # Two heaps of those that ended and are shown: the worst good one first, the oldest other.
        self._good: list[tuple[_Merit, int]] = []
        self._others: list[int] = []

    def create_new_trial(
        self, study_id: int, template_trial: optuna.trial.FrozenTrial | None = None
    ) -> int:
        """Note a trial, which may have ended already."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._shown[trial_id] = None
        if template_trial is not None and template_trial.state in _TEACHES:
            self._just_ended.append(trial_id)
        return trial_id

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Note a trial that ends."""
        was_set = super().set_trial_state_values(trial_id, state, values)
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
    ) -> list[optuna.trial.FrozenTrial]:
        """All trials of the one study there is, but those that are left out.

        Optuna's own goes through all that there ever were, several times a proposal; what it reads
        is private, and this reads the same.
        """
        with self._thread_lock:
            self._sync_with_backend()
            shown = [self._replay_result.get_trial(trial_id) for trial_id in self._shown]
        trials = [trial for trial in shown if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def _merit(trial: optuna.trial.FrozenTrial) -> _Merit:
    """The order in which TPE calls trials good: complete ones first, then those that got far."""
    step = trial.last_step or 0
    value = trial.value if trial.state is TrialState.COMPLETE else trial.intermediate_values[step]
    assert value is not None
    is_complete = trial.state is TrialState.COMPLETE
    return is_complete, 0 if is_complete else step, value, -trial.number


class _Sampler(optuna.samplers.TPESampler):
    """TPE that knows its axes, and need not look through all trials for what they have in common.

    Args:
        names: Axes.
        seed: Of the next proposal.
        num_startup: Trials before it starts to model.
    """

    def __init__(self, names: tuple[str, ...], *, seed: int, num_startup: int) -> None:
        super().__init__(seed=seed, n_startup_trials=num_startup)
        self._axes: dict[str, BaseDistribution] = dict.fromkeys(sorted(names), _POSITION)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The axes."""
        return self._axes


class Proposer:
    """Proposes dial positions and learns from how trials ended.

    Positions lie in [0, 1] per axis (`spaces.axes`), so that TPE sees every strength on the scale
    on which equal steps matter equally.

    TPE takes time in proportion to the trials it looks at. From `MOST_TRIALS` on it is shown all
    trials that it would call good and the newest of the others, so that the 5,000th proposal costs
    what the 500th does. What is left out are old trials among the bad, to which Optuna gives a
    weight near nought anyway.

    Args:
        run_dir: Where ``optuna.journal`` is written; an old one is replaced.
        study_name: Name of the study, the run's.
        names: Searched axes.
        metric: What is optimised, see `search.records.metrics`.
        num_val: Validation images behind it.
        seed: Seed of all proposals.
        num_startup: Trials before TPE starts to model; anchors count.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        study_name: str,
        names: tuple[str, ...],
        metric: str,
        num_val: int,
        seed: int,
        num_startup: int = 8,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = run_dir / "optuna.journal"
        path.unlink(missing_ok=True)
        self._names = names
        self._metric = metric
        self._num_val = num_val
        self._seed = seed
        self._num_startup = num_startup
        self._asked: dict[str, optuna.Trial] = {}
        self._storage = _ManyTrials(_UnsyncedFile(path))
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=study_name,
            direction="maximize",
        )

    def propose(self, trial_id: str, number: int) -> dict[str, float]:
        """Positions for a new trial.

        Depends on the seed, ``number`` and what was observed so far, and on nothing else: a resumed
        search proposes what the uninterrupted one would have.
        """
        self._storage.leave_out_old_ones()
        self.study.sampler = _Sampler(
            self._names, seed=_hash(self._seed, number), num_startup=self._num_startup
        )
        trial = self.study.ask(dict.fromkeys(self._names, _POSITION))
        trial.set_user_attr("trial_id", trial_id)
        self._asked[trial_id] = trial
        return dict(trial.params)

    def enqueue(self, trial_id: str, positions: Mapping[str, float]) -> None:
        """Count a trial that was not proposed, an anchor, as running from now on.

        Each trial has its place in the study from its start, whenever it ends: with several workers
        a resumed search could not know in which order trials ended between two proposals.
        """
        self.study.enqueue_trial(dict(positions))
        trial = self.study.ask(dict.fromkeys(self._names, _POSITION))
        trial.set_user_attr("trial_id", trial_id)
        self._asked[trial_id] = trial

    def observe(self, trial: Trial, positions: Mapping[str, float] | None) -> None:
        """Learn from a trial that ended.

        Args:
            trial: The ended trial; failed and killed ones teach nothing.
            positions: Where it lies; None for an anchor outside the space, which is left out:
                moving it to the nearest position would teach the model a false value.
        """
        state = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED}.get(
            trial.status, TrialState.FAIL
        )
        values = self._intermediate(trial)
        if not values:
            state = TrialState.FAIL
        asked = self._asked.pop(trial.spec.trial_id, None)
        strengths = json.dumps(trial.spec.recipe.strengths.as_dict())
        if asked is not None:
            asked.set_user_attr("strengths", strengths)
            for epoch, value in values.items():
                asked.report(value, epoch)
            last = values[max(values)] if state is TrialState.COMPLETE else None
            self.study.tell(asked, last, state=state)
        elif positions is not None:
            self.study.add_trial(
                optuna.trial.create_trial(
                    params=dict(positions),
                    distributions=dict.fromkeys(positions, _POSITION),
                    value=values[max(values)] if state is TrialState.COMPLETE else None,
                    intermediate_values=values,
                    state=state,
                    user_attrs={"trial_id": trial.spec.trial_id, "strengths": strengths},
                )
            )

    def replay(self, trials: Iterable[tuple[Trial, Mapping[str, float] | None]]) -> None:
        """Rebuild the study of an interrupted search; running trials are expected to end later.

        Args:
            trials: In the order they were started.
        """
        for trial, positions in trials:
            if trial.status != "running":
                self.observe(trial, positions)
            elif positions is not None:
                self.enqueue(trial.spec.trial_id, positions)

    def _intermediate(self, trial: Trial) -> dict[int, float]:
        scores = {
            record.epoch: score(record.metrics, metric=self._metric, num_val=self._num_val)
            for record in trial.records
        }
        return {epoch: value for epoch, value in scores.items() if value is not None}


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")
