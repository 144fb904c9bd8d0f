"""Pick the search's best recipe: the top few are rerun on fresh seeds and the best mean wins.

The best of many trials owes part of its place to luck. The top few of the search are therefore run
again on a fresh split and seed, half of them once more on the next (successive halving over seeds,
Jamieson & Talwalkar 2016), and only those fresh runs are averaged. Inside a round all contenders
share split and seed, so their difference is not one of data.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from search.records.metrics import score
from search.records.trials import Trial, TrialSpec
from search.stages.fresh_seeds import fresh_seed
from spaces.recipe import Recipe

RERUN = "rerun"


def full_length(trials: Sequence[Trial]) -> list[Trial]:
    """Select the trials of the search, without reruns, that ran to full length."""
    return [t for t in trials if t.is_full_length and t.spec.role != RERUN]


def ranked(trials: Sequence[Trial], *, metric: str, num_val: int) -> list[Trial]:
    """Sort the full-length trials by their last score, best first; ties go to the earlier one."""
    return sorted(
        full_length(trials), key=lambda trial: -_last_score(trial, metric=metric, num_val=num_val)
    )


def reruns(
    trials: Sequence[Trial], *, top: int, metric: str, num_val: int, seed: int
) -> list[TrialSpec]:
    """List the fresh-seed runs that are still to be started; empty once the pick is settled.

    Args:
        trials: All trials of the search stage; only reruns may still be running.
        top: Number of contenders in the first round; each round halves them, down to two.
        metric: See `search.records.metrics`.
        num_val: Number of validation images behind it.
        seed: Seed of the run; fresh splits and seeds derive from it.
    """
    number = len(trials)
    for round_number, contenders in enumerate(_rounds(trials, top, metric, num_val)):
        done = _rerun_of(trials, round_number)
        missing = [trial for trial in contenders if trial.spec.trial_id not in done]
        if missing:
            shared = fresh_seed(seed, stage="search", number=round_number)
            return [
                replace(
                    trial.spec,
                    number=number + i,
                    role=RERUN,
                    recipe=replace(trial.spec.recipe, seed=shared),
                    split_seed=shared,
                    block=round_number,
                    rerun_of=trial.spec.trial_id,
                    eval_epochs=(),
                    never_stop=True,
                )
                for i, trial in enumerate(missing)
            ]
    return []


def pick(trials: Sequence[Trial], *, top: int, metric: str, num_val: int) -> Recipe:
    """Return the recipe of `picked_trial`."""
    return picked_trial(trials, top=top, metric=metric, num_val=num_val).spec.recipe


def picked_trial(trials: Sequence[Trial], *, top: int, metric: str, num_val: int) -> Trial:
    """Return the trial whose recipe has the best mean score over reruns, of those with the most.

    Without any rerun it is the first trial of `ranked`.

    Raises:
        RuntimeError: If no trial ran to full length.
    """
    order = ranked(trials, metric=metric, num_val=num_val)
    if not order:
        raise RuntimeError("No trial of the search ran to full length, so there is no best one.")

    def standing(trial: Trial) -> tuple[int, float]:
        scores = _rerun_scores(trials, trial, metric, num_val)
        return len(scores), sum(scores) / len(scores) if scores else -math.inf

    return max(order[: max(1, top)], key=standing)


def _rounds(trials: Sequence[Trial], top: int, metric: str, num_val: int) -> list[list[Trial]]:
    """List the contenders of each round, up to the first round whose reruns have not all ended."""
    contenders = ranked(trials, metric=metric, num_val=num_val)[:top]
    rounds = []
    while len(contenders) > 1:
        rounds.append(contenders)
        ended = _rerun_of([t for t in trials if t.status != "running"], len(rounds) - 1)
        if any(trial.spec.trial_id not in ended for trial in contenders) or len(contenders) == 2:
            break
        # Without the scores of later rounds, which would change who was to take part in them.
        so_far = [t for t in trials if t.spec.role != RERUN or (t.spec.block or 0) < len(rounds)]
        by_mean = sorted(contenders, key=lambda t: -_mean_score(so_far, t, metric, num_val))
        contenders = by_mean[: max(2, len(contenders) // 2)]
    return rounds


def _rerun_of(trials: Sequence[Trial], round_number: int) -> set[str | None]:
    return {
        t.spec.rerun_of for t in trials if t.spec.role == RERUN and t.spec.block == round_number
    }


def _rerun_scores(trials: Sequence[Trial], trial: Trial, metric: str, num_val: int) -> list[float]:
    again = [t for t in trials if t.spec.rerun_of == trial.spec.trial_id and t.is_full_length]
    return [_last_score(t, metric=metric, num_val=num_val) for t in again]


def _mean_score(trials: Sequence[Trial], trial: Trial, metric: str, num_val: int) -> float:
    scores = _rerun_scores(trials, trial, metric, num_val)
    return sum(scores) / len(scores) if scores else -math.inf


def _last_score(trial: Trial, *, metric: str, num_val: int) -> float:
    value = score(trial.records[-1].metrics, metric=metric, num_val=num_val)
    return -math.inf if value is None else value
