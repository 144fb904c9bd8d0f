"""Stopping rule of the search: its best score no longer rises by more than the noise."""

import math
from collections.abc import Sequence

from search.records.metrics import error_over_images, score
from search.records.trials import Trial
from search.stages.selection import RERUN

LEARNED_FROM = ("finished", "stopped", "diverged")
"""Trial statuses that say something about the recipe; the death of a worker does not."""


def is_on_plateau(ended: Sequence[Trial], *, patience: int, metric: str, num_val: int) -> bool:
    """Whether none of the last ``patience`` proposals beat the best score by more than the noise.

    The best score is that of a full-length trial, as early values favour weak regularization. A
    proposal that was stopped early counts as one that did not improve it.

    Args:
        ended: Trials of the search that ended, in that order; the answer depends on nothing else,
            so a resumed search decides as the uninterrupted one would.
        patience: Proposals in a row, at least 1.
        metric: See `search.records.metrics`.
        num_val: Number of validation images behind it.
    """
    told = [t for t in ended if t.spec.role != RERUN and t.status in LEARNED_FROM]
    recent = [t for t in told if not t.spec.role.startswith("anchor:")][-patience:]
    names = {t.spec.trial_id for t in recent}
    earlier = [t for t in told if t.spec.trial_id not in names and t.is_full_length]
    if len(recent) < patience or not earlier:
        return False

    def value(trial: Trial) -> float:
        found = score(trial.records[-1].metrics, metric=metric, num_val=num_val)
        return -math.inf if found is None else found

    best = max(earlier, key=value)
    # Would a gain show on other images of the same kind? Hence the standard error of one trial's
    # value over images, not that of a difference on the same images, which is smaller.
    margin = error_over_images(best.records[-1].metrics, metric=metric, num_images=num_val)
    return all(value(t) <= value(best) + margin for t in recent if t.is_full_length)
