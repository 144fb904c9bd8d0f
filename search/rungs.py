"""Asynchronous successive halving as arithmetic on recorded scores (Li et al. 2020, ASHA)."""

import math
from bisect import bisect_left, insort
from collections.abc import Mapping


def rung_epochs(epochs: int, *, grace_period: int, reduction_factor: int) -> tuple[int, ...]:
    """The epochs at which trials are compared, ``grace_period * reduction_factor**k``.

    Args:
        epochs: Full length of a trial.
        grace_period: First epoch at which a trial may be stopped, at least 1.
        reduction_factor: One in this many trials goes on at each rung, at least 2.

    Raises:
        ValueError: If an argument is below its minimum.
    """
    if grace_period < 1 or reduction_factor < 2:
        raise ValueError(
            "`grace_period >= 1` and `reduction_factor >= 2` must hold, "
            f"but got {grace_period=} and {reduction_factor=}."
        )
    rungs = []
    rung = grace_period
    while rung < epochs:
        rungs.append(rung)
        rung *= reduction_factor
    return tuple(rungs)


class Rungs:
    """Scores of all trials that reached each rung, and the decision whether a trial goes on.

    Unlike Ray's ``AsyncHyperBandScheduler`` it draws nothing at random, counts a trial once per
    rung, treats NaN as worst, and can be rebuilt from records.

    Args:
        epochs: Epochs of the rungs, ascending.
        reduction_factor: One in this many trials goes on at each rung, at least 2.
    """

    def __init__(self, epochs: tuple[int, ...], *, reduction_factor: int) -> None:
        self._reduction_factor = reduction_factor
        self._scores: dict[int, dict[str, float]] = {epoch: {} for epoch in epochs}
        self._ascending: dict[int, list[float]] = {epoch: [] for epoch in epochs}

    @property
    def scores(self) -> Mapping[int, Mapping[str, float]]:
        """Score by trial, by rung."""
        return self._scores

    def passes(self, trial_id: str, epoch: int, score: float) -> bool:
        """Note a score and say whether the trial is among the best ``1/reduction_factor`` so far.

        Args:
            trial_id: The trial.
            epoch: Epochs it has trained; other epochs than a rung's always pass.
            score: Larger is better.
        """
        if epoch not in self._scores:
            return True
        score = -math.inf if math.isnan(score) else score
        rung, ascending = self._scores[epoch], self._ascending[epoch]
        # A trial asks again with each of its epochs, and thousands of scores are slow to sort.
        if rung.get(trial_id) != score:
            if trial_id in rung:
                del ascending[bisect_left(ascending, rung[trial_id])]
            rung[trial_id] = score
            insort(ascending, score)
        if score == -math.inf:
            return False
        num_going_on = max(1, len(rung) // self._reduction_factor)
        return score >= ascending[-num_going_on]
