"""Whether the search has stopped getting anywhere: its best no longer rises by more than noise."""

import math
from collections.abc import Mapping, Sequence

from search.records.metrics import score
from search.records.trials import Trial
from search.stages.selection import RERUN

LEARNED_FROM = ("finished", "stopped", "diverged")
"""Ends that say something about a recipe; a worker that died does not."""


def is_on_plateau(ended: Sequence[Trial], *, patience: int, metric: str, num_val: int) -> bool:
    """Whether the last ``patience`` proposals left the best where it was, give or take the noise.

    Best is the best full-length trial: early values favour weak regularization. A proposal that was
    stopped early counts as one that brought nothing.

    Args:
        ended: Trials of the search that ended, in that order; the answer depends on nothing else,
            so a resumed search decides as the uninterrupted one would.
        patience: Proposals in a row, at least 1.
        metric: See `search.records.metrics`.
        num_val: Validation images behind it.
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
    margin = noise(best.records[-1].metrics, metric=metric, num_val=num_val)
    return all(value(t) <= value(best) + margin for t in recent if t.is_full_length)


def noise(metrics: Mapping[str, float], *, metric: str, num_val: int) -> float:
    """Standard error of a metric over validation images.

    What it asks is whether the gain would show on other images of the same kind, so it is the error
    of one trial's value and not that of a difference on the same images, which is smaller. For
    top-1 it is binomial, with one right and one wrong image added so that it is never zero; for a
    log-loss it is measured from the losses of the images.

    Args:
        metrics: Of an evaluated epoch.
        metric: One of `search.records.metrics.METRICS`.
        num_val: Validation images behind it.
    """
    if metric != "val/top1":
        return metrics[f"{metric}_se"]
    share = (metrics[metric] * num_val + 1.0) / (num_val + 2.0)
    return math.sqrt(share * (1.0 - share) / num_val)
