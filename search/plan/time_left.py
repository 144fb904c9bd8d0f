"""Estimate of the time that a run still takes.

The remaining trials are simulated: each goes to the first free worker, and a stage begins when the
previous one has ended. A trial takes its planned time multiplied by the pace, which is the ratio of
measured to planned time of the trials that have ended.
"""

import heapq
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from search.plan.stage_size import OVERHEAD, SEARCH, StageSize, size_name
from search.records.trials import Trial

FEWEST_TRIALS = 3
"""Number of ended trials from which on there is an estimate."""
PLAN_COUNTS_AS = 3
"""Number of trials that the planned time counts as, until enough trials have ended."""
NUM_COUNTED = 10
"""Number of newest trials that the pace is measured on."""


def time_left_s(
    trials: Iterable[Trial],
    sizes: Sequence[StageSize],
    *,
    num_expected: Mapping[str, int],
    num_workers: int,
    until_s: float = math.inf,
) -> float | None:
    """Estimate the seconds until the last stage ends; None while too few trials have ended.

    Args:
        trials: All trials that have been started, in order.
        sizes: Planned sizes of the stages, in order.
        num_expected: Number of trials by size name, as known to the stages that have begun.
        num_workers: Number of concurrent trials, at least 1.
        until_s: Seconds until the deadline, negative after it.
    """
    trials = list(trials)
    by_name = {size.name: size for size in sizes}
    ended = [trial for trial in trials if trial.status != "running"]
    if len(ended) < FEWEST_TRIALS:
        return None
    pace = _pace(ended, by_name)
    until = max(0.0, until_s)
    running = [trial for trial in trials if trial.status == "running"]
    rest = [_rest_s(trial, by_name[size_name(trial)], pace, until) for trial in running]
    free = [*rest, *[0.0] * (num_workers - len(rest))]
    started = Counter(size_name(trial) for trial in trials)
    newest = max((i for i, size in enumerate(sizes) if started[size.name]), default=0)
    for size in sizes[newest:]:  # Earlier stages have ended.
        sure = num_expected.get(size.name, size.num_trials)
        trial_s = pace * _epoch_s(size) * size.epochs * size.share
        end = _end(free, sure - started[size.name], trial_s)
        if size.name == SEARCH:
            end = min(end, max(until, *free))
        elif end < until:
            rounds = size.expected_more(sure) / size.round_size
            end += rounds * _end([0.0] * len(free), size.round_size, trial_s)
        free = [end] * len(free)
    return max(free)


def _pace(ended: Sequence[Trial], by_name: Mapping[str, StageSize]) -> float:
    """Compute the ratio of measured to planned time of the newest trials, as their median.

    A mean would follow short slowdowns by other work on the machine.
    """
    is_timed = all(size.full_s is not None for size in by_name.values())
    ratios = [OVERHEAD] * PLAN_COUNTS_AS if is_timed else []
    for trial in ended[-NUM_COUNTED:]:
        planned_s = trial.epoch * _epoch_s(by_name[size_name(trial)])
        if planned_s > 0:  # Not so if it failed before its first report.
            ratios.append(_took_s(trial) / planned_s)
    return statistics.median(ratios[-NUM_COUNTED:]) if ratios else 0.0


def _took_s(trial: Trial) -> float:
    """Add up the seconds of training and evaluation."""
    costs = ("cost/train_s", "cost/eval_s")
    return sum(record.metrics.get(name, 0.0) for record in trial.records for name in costs)


def _rest_s(trial: Trial, size: StageSize, pace: float, until: float) -> float:
    """Estimate the seconds that a running trial still takes."""
    epoch_s = pace * _epoch_s(size)
    rest = epoch_s * (trial.spec.recipe.epochs - trial.epoch)
    if size.name == SEARCH:  # It stops at its first report after the deadline.
        rest = min(rest, until + epoch_s)
    return rest


def _epoch_s(size: StageSize) -> float:
    """Return the planned seconds of an epoch; one if it was not timed, as then the pace is all."""
    return 1.0 if size.full_s is None else size.full_s / size.epochs


def _end(free: Sequence[float], number: int, trial_s: float) -> float:
    """Compute the time at which ``number`` more trials have ended.

    Args:
        free: Time at which each worker is free.
        number: Number of trials, each given to the first free worker.
        trial_s: Seconds of a trial.
    """
    workers = list(free)
    heapq.heapify(workers)
    for _ in range(number):
        heapq.heapreplace(workers, workers[0] + trial_s)
    return max(workers)
