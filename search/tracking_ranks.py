"""What only all trials of a search together show in MLflow: best so far, ranks, and colours."""

from collections.abc import Iterable, Sequence

from search.tracking_trials import DECIMALS
from search.trials import Trial

# Viridis from its dark to its bright end (van der Walt and Smith 2015), readable colour-blind.
_VIRIDIS = ("#440154", "#472D7B", "#3B528B", "#2C728E", "#21918C", "#28AE80", "#5EC962", "#ADDC30")


def best_so_far(trials: Iterable[Trial]) -> list[float]:
    """For each trial of the search in order of number, the best ``val/top1`` up to it.

    The list ends before the first trial that still runs, so that no value changes later. Reruns are
    left out: they measure a trial again.
    """
    searched = [t for t in trials if t.spec.stage == "search" and t.spec.rerun_of is None]
    found: list[float] = []
    best = 0.0
    for place, trial in enumerate(sorted(searched, key=lambda t: t.spec.number)):
        if trial.spec.number != place or trial.status == "running":
            break
        values = [r.metrics["val/top1"] for r in trial.records if "val/top1" in r.metrics]
        best = max([best, *(value for value in values if value <= 1.0)])
        found.append(round(best, DECIMALS))
    return found


def rank_at_stop(trials: Sequence[Trial]) -> dict[str, float]:
    """Percentile of each search trial among all others at the epoch where it stopped.

    A trial that was stopped before that epoch stands there with its last value. Early epochs are
    ranked too, so this illustrates and never decides anything.
    """
    curves = {
        t.spec.trial_id: [
            (r.epoch, r.metrics["val/top1"]) for r in t.records if "val/top1" in r.metrics
        ]
        for t in trials
        if t.spec.stage == "search"
    }
    measured = {name: curve for name, curve in curves.items() if curve}
    ranks: dict[str, float] = {}
    for name, curve in measured.items():
        epoch, value = curve[-1]
        others = [
            [v for e, v in other if e <= epoch][-1]
            for key, other in measured.items()
            if key != name and other[0][0] <= epoch
        ]
        beaten = sum((other < value) + 0.5 * (other == value) for other in others)
        ranks[name] = round(100 * beaten / len(others), 1) if others else 100.0
    return ranks


def rank_colours(trials: Iterable[Trial]) -> dict[str, str]:
    """Viridis over the final ``val/top1`` of the full-length search trials: bright is better."""
    final = {
        t.spec.trial_id: t.last("val/top1") or 0.0
        for t in trials
        if t.spec.stage == "search" and t.is_full_length
    }
    order = sorted(final, key=final.__getitem__)
    steps = max(1, len(order) - 1)
    return {name: _VIRIDIS[(len(_VIRIDIS) - 1) * i // steps] for i, name in enumerate(order)}
