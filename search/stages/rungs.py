"""Asynchronous successive halving as arithmetic on recorded scores (Li et al. 2020, ASHA).

ASHA spaces its rungs by the same factor by which it thins out the trials. Here the two are apart:
under a cosine schedule a strongly regularized recipe is behind until late, so that rungs which keep
few trials stop the ones that would have been best (docs/search_efficiency.md).
"""

import math
from bisect import bisect_left, insort
from collections.abc import Mapping

_ROUNDING = 1e-9  # A third of three trials is one trial, even if 3 * (1 / 3) exceeds 1.


class Rungs:
    """Record of the scores at each rung, and the decision whether a trial goes on.

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
        """Scores by epoch of the rung, then by trial."""
        return self._scores

    def passes(self, trial_id: str, epoch: int, score: float) -> bool:
        """Record a score; return whether it is among the best share of the rung's scores so far.

        Args:
            trial_id: The trial.
            epoch: Epochs it has trained; at an epoch that is no rung every trial passes.
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
