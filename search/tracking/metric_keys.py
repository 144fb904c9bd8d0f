"""Under which names a search keeps its metrics in MLflow, and how precisely.

All follow `search.records.metrics.METRICS`; everything else that a run reports stays in the run
directory.
"""

from collections.abc import Iterable

from search.records.metrics import METRICS, NLL, Metric

RANK_METRIC = "rank/pct_at_stop"
LEVELS = ("reference", "best", "none")
"""Averages that one run of the experiment carries at once."""
DECIMALS = 4
"""To which numbers that are no metric are rounded: the pages print a double as it is."""


def epoch_metrics(levels: Iterable[str] = ()) -> tuple[str, ...]:
    """What a trial reports and a chart wants to show.

    A metric that may decide a dial is there for every part of the data and for all weights, one
    that only stands for another for validation images.

    Args:
        levels: Averages that the trial carries beside its own.
    """
    names = [metric.on("val") for metric in METRICS.values()]
    for metric in _deciding():
        names += [metric.on(where) for where in ("val_raw", "val_ema", "clean_train", "test")]
        names += [metric.on(f"val.{level}") for level in levels]
    return (*names, NLL.on("clean_train"), NLL.on("test"), "train/loss")


def bests() -> dict[str, Metric]:
    """Of which a search trial's best value so far is logged too, by the name it is reported by.

    The table of runs shows last values only.
    """
    return {metric.on("val"): metric for metric in (*_deciding(), NLL)}


def best_name(metric: Metric) -> str:
    """Name of the best value that a trial has reached so far."""
    return f"best/{metric.on('val')}"


def final_name(metric: Metric) -> str:
    """Name of the value of full-length trials only, so that charts on it compare like with like."""
    return f"final/{metric.on('val')}"


def search_best_name(metric: Metric) -> str:
    """Name of the best value of the search so far, on its parent run."""
    return f"search/best_val_{metric.name}"


def metric_keys(metric: Metric) -> tuple[str, ...]:
    """Every name that a search may log, where ``metric`` decides first."""
    return (
        *epoch_metrics(LEVELS),
        *(best_name(held) for held in bests().values()),
        final_name(metric),
        RANK_METRIC,
    )


def rounded(name: str, value: float) -> float:
    """A value as it is logged under a name."""
    metric = METRICS.get(name.rpartition("/")[2])
    return round(value, metric.unit.kept_decimals if metric else DECIMALS)


def _deciding() -> list[Metric]:
    return [metric for metric in METRICS.values() if metric.stands_for is None]
