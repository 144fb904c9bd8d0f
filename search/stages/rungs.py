"""Asynchronous successive halving as arithmetic on recorded scores (Li et al. 2020, ASHA).

ASHA spaces its rungs by the same factor by which it thins out the trials. Here the two are apart:
under a cosine schedule a strongly regularized recipe is behind until late, so that rungs which keep
few trials stop the ones that would have been best (docs/search_efficiency.md).
"""

import math
from bisect import bisect_left, insort
from collections.abc import Mapping

_ROUNDING = 1e-9  # A third of three trials is one trial, whatever the floats say.


def rung_epochs(epochs: int, *, grace_period: int, reduction_factor: int) -> tuple[int, ...]:
    """The epochs at which trials are compared, ``grace_period * reduction_factor**k``.

    Args:
        epochs: Full length of a trial.
        grace_period: First epoch at which a trial may be stopped, at least 1.
        reduction_factor: Each rung is this many times as late as the one before, at least 2.

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
        keep: Share of the trials that goes on at each rung, in (0, 1]; 1 / 3 is usual for ASHA.
    """

    def __init__(self, epochs: tuple[int, ...], *, keep: float) -> None:
        self._keep = keep
        self._scores: dict[int, dict[str, float]] = {epoch: {} for epoch in epochs}
        self._ascending: dict[int, list[float]] = {epoch: [] for epoch in epochs}

    @property
    def scores(self) -> Mapping[int, Mapping[str, float]]:
        """Score by trial, by rung."""
        return self._scores

    def passes(self, trial_id: str, epoch: int, score: float) -> bool:
        """Note a score and say whether the trial is among the best share of those so far.

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
        # Rounded up: where one of three is kept, two of four go on.
        return score >= ascending[-math.ceil(self._keep * len(rung) - _ROUNDING)]
