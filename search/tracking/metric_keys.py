"""Names under which a search logs its metrics in MLflow, and the decimals of the values.

The names derive from `search.records.metrics.METRICS`; other reported values are in the run
directory only.
"""

from collections.abc import Iterable

from search.records.metrics import METRICS, NLL, TOP1, Metric

RANK_METRIC = "rank/pct_at_stop"
LEVELS = ("reference", "best", "none")
"""Names of the weight averages that each run of the experiment measures."""
DECIMALS = 4
"""Decimals of numbers that are no metric; MLflow's pages print all digits of a number."""


def epoch_metrics(levels: Iterable[str] = (), metric: Metric = TOP1) -> tuple[str, ...]:
    """List the names of the metrics that a trial logs at each epoch.

    Top-1 and the metric that decides first are logged for every split and for all weights, all
    others for validation images.

    Args:
        levels: Names of the averages that the trial measures beside its own.
        metric: The metric that decides first.
    """
    names = [metric.on("val") for metric in METRICS.values()]
    for shown in _deciding(metric):
        names += [shown.on(where) for where in ("val_raw", "val_ema", "clean_train", "test")]
        names += [shown.on(f"val.{level}") for level in levels]
    return (*names, NLL.on("clean_train"), NLL.on("test"), "train/loss")


def bests(metric: Metric = TOP1) -> dict[str, Metric]:
    """Return the metrics whose best value so far is logged for search trials, by reported name.

    MLflow's table of runs shows last values only.
    """
    return {held.on("val"): held for held in (*_deciding(metric), NLL)}


def best_name(metric: Metric) -> str:
    """Return the name under which a trial's best value so far is logged."""
    return f"best/{metric.on('val')}"


def final_name(metric: Metric) -> str:
    """Return the name under which the final value of full-length trials is logged."""
    return f"final/{metric.on('val')}"


def search_best_name(metric: Metric) -> str:
    """Return the name under which the parent run logs the best value of the search so far."""
    return f"search/best_val_{metric.name}"


def metric_keys(metric: Metric, searched_by: Metric) -> tuple[str, ...]:
    """List all names that a search by one metric may log, where ``metric`` decides first."""
    return (
        *epoch_metrics(LEVELS, metric),
        *(best_name(held) for held in bests(metric).values()),
        *dict.fromkeys((final_name(metric), final_name(searched_by))),
        RANK_METRIC,
    )


def rounded(name: str, value: float) -> float:
    """Round a value to the decimals with which it is logged under a name."""
    metric = METRICS.get(name.rpartition("/")[2])
    return round(value, metric.unit.kept_decimals if metric else DECIMALS)


def _deciding(metric: Metric) -> list[Metric]:
    return list(dict.fromkeys((TOP1, metric)))
