"""Optuna's TPE sampler behind four methods: propose, enqueue, observe, replay.

Ray's ``OptunaSearch`` lacks the following: a stopped trial is told as PRUNED with its last value at
its step, so that TPE never ranks an early value against a full-length one; a diverged trial is told
as FAIL; the study carries the run's name and lies in the run directory, where optuna-dashboard can
open it while the search runs; and it can be rebuilt from the journal.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from search.records.metrics import score
from search.records.trials import Trial
from search.stages.study_storage import StudyStorage

_POSITION = FloatDistribution(0.0, 1.0)


class _Sampler(optuna.samplers.TPESampler):
    """TPE with a fixed list of axes, instead of one inferred from all trials at each proposal.

    Args:
        names: Names of the axes.
        seed: Seed of the next proposal.
        num_startup: Trials that must have ended before proposals are modelled; random until then.
    """

    def __init__(self, names: tuple[str, ...], *, seed: int, num_startup: int) -> None:
        super().__init__(seed=seed, n_startup_trials=num_startup)
        self._axes: dict[str, BaseDistribution] = dict.fromkeys(sorted(names), _POSITION)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the fixed axes, each over [0, 1]."""
        return self._axes


class Proposer:
    """A proposer of positions on the axes that learns from the results of ended trials.

    Positions lie in [0, 1] per axis (`spaces.axes`), so that TPE sees every strength on the scale
    on which equal steps matter equally.

    TPE takes time in proportion to the trials it looks at. From `MOST_TRIALS` of
    `search.stages.study_storage` on it is shown all trials that it would call good and the newest
    of the others, so that the 5,000th proposal costs what the 500th does. The trials left out are
    old and bad ones, to which Optuna gives a weight near zero anyway.

    Args:
        run_dir: Directory in which ``optuna.journal`` is written; an old one is replaced.
        study_name: Name of the study: that of the run.
        names: Searched axes.
        metric: Metric that is optimised, see `search.records.metrics`.
        num_val: Number of validation images behind it.
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
        self._storage = StudyStorage(path)
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=study_name,
            direction="maximize",
        )

    def propose(self, trial_id: str, number: int) -> dict[str, float]:
        """Propose positions for a new trial.

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
        """Enter a trial that was not proposed (an anchor) into the study as running.

        Each trial has its place in the study from its start, not from its end: with several workers
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
            positions: Its positions; None for an anchor outside the space, which is left out, as
                moving it to the nearest position would teach the model a false value.
        """
        state = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED}.get(
            trial.status, TrialState.FAIL
        )
        values = self._intermediate(trial)
        if not values:
            state = TrialState.FAIL
        asked = self._asked.pop(trial.spec.trial_id, None)
        strengths = json.dumps(trial.spec.searched)
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
            trials: Trials with their positions, in the order they were started.
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
