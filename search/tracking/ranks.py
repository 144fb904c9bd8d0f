"""Values that depend on all trials of a search: best so far, ranks, and colours."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from search.records.metrics import TOP1, Metric
from search.records.trials import Trial
from search.tracking.metric_keys import rounded

# Viridis from its dark to its bright end (van der Walt and Smith 2015), readable colour-blind.
_VIRIDIS = ("#440154", "#472D7B", "#3B528B", "#2C728E", "#21918C", "#28AE80", "#5EC962", "#ADDC30")


Curve = Sequence[tuple[int, float]]
"""Pairs of epoch and value, in ascending order of epochs."""


class BestSoFar:
    """The best value of a metric up to each trial of the search, in order of the trials' numbers.

    The list ends before the first trial that has not ended, so that no value changes later. Reruns
    are left out, as they measure a trial again. Adding a trial takes constant time.

    Args:
        metric: The metric, taken on validation images.

    Attributes:
        values: Best value by number of the trial; the worst infinity until there is a value.
    """

    def __init__(self, metric: Metric = TOP1) -> None:
        self.values: list[float] = []
        self._metric = metric
        self._best = -math.inf  # Multiplied by the metric's sign, so that larger is better.
        self._waiting: dict[int, Trial] = {}

    def add(self, trial: Trial) -> None:
        """Take in the state of a trial; running trials are ignored."""
        spec = trial.spec
        if spec.stage != "search" or spec.rerun_of or trial.status == "running":
            return
        if spec.number < len(self.values):
            # It failed and was started again: its new value counts from the next trial on.
            self._best = max(self._best, self._best_of(trial))
            return
        self._waiting[spec.number] = trial
        while len(self.values) in self._waiting:
            self._best = max(self._best, self._best_of(self._waiting.pop(len(self.values))))
            self.values.append(rounded(self._metric.name, self._metric.sign * self._best))

    def _best_of(self, trial: Trial) -> float:
        values = (value for _, value in _curve(trial, self._metric))
        return max((value for value in values if math.isfinite(value)), default=-math.inf)


def _curve(trial: Trial, metric: Metric) -> Curve:
    """Return a trial's validation values by epoch, times the sign that makes larger better."""
    name = metric.on("val")
    return [(r.epoch, metric.sign * r.metrics[name]) for r in trial.records if name in r.metrics]


def rank_at_stop(trials: Sequence[Trial], metric: Metric = TOP1) -> dict[str, float]:
    """Compute each search trial's percentile among all others at the epoch where it stopped.

    A trial that was stopped before that epoch counts with its last value. Early epochs are ranked
    too, so the ranks illustrate and never decide anything. 100 is best.
    """
    curves = {t.spec.trial_id: _curve(t, metric) for t in trials if t.spec.stage == "search"}
    measured = {name: curve for name, curve in curves.items() if curve}
    field = {epoch: _values_at(epoch, measured.values()) for epoch in _stops(measured.values())}
    ranks: dict[str, float] = {}
    for name, curve in measured.items():
        epoch, value = curve[-1]
        values = field[epoch]
        first, end = bisect_left(values, value), bisect_right(values, value)
        num_equal, num_others = end - first - 1, len(values) - 1  # Without the trial itself.
        beaten = first + 0.5 * num_equal
        ranks[name] = round(100 * beaten / num_others, 1) if num_others else 100.0
    return ranks


def _stops(curves: Iterable[Curve]) -> set[int]:
    return {curve[-1][0] for curve in curves}


def _values_at(epoch: int, curves: Iterable[Curve]) -> list[float]:
    """Collect the last value of each curve up to an epoch, ascending; later curves are left out."""
    places = ((bisect_right(curve, epoch, key=lambda point: point[0]), curve) for curve in curves)
    return sorted(curve[place - 1][1] for place, curve in places if place)


def rank_colours(trials: Iterable[Trial], metric: Metric = TOP1) -> dict[str, str]:
    """Colour the full-length search trials by rank of their final value: brighter is better."""
    curves = {
        t.spec.trial_id: _curve(t, metric)
        for t in trials
        if t.spec.stage == "search" and t.is_full_length
    }
    final = {name: curve[-1][1] if curve else -math.inf for name, curve in curves.items()}
    order = sorted(final, key=final.__getitem__)
    steps = max(1, len(order) - 1)
    return {name: _VIRIDIS[(len(_VIRIDIS) - 1) * i // steps] for i, name in enumerate(order)}
