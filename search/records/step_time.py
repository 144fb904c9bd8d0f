"""How long the steps of a trial took, from what it reported."""

import math
import statistics

from search.records.trials import Trial


def epoch_seconds(trial: Trial) -> float:
    """Median seconds of an epoch's training steps, data and augmentation included.

    The first epoch is left out where there is another: it pays for memory and for choosing
    kernels. NaN if nothing was reported.
    """
    found = [
        record.metrics["cost/train_s"]
        for record in trial.records
        if "cost/train_s" in record.metrics
    ]
    return statistics.median(found[1:] or found) if found else math.nan


def train_seconds(trial: Trial) -> float:
    """Seconds of all training steps."""
    return sum(record.metrics.get("cost/train_s", 0.0) for record in trial.records)
