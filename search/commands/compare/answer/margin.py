"""The metric of a script as the statistics know one: its digits, and the change that matters."""

import math
from collections.abc import Sequence

import numpy as np

from search.commands.compare.asked.measuring import Measure
from search.commands.compare.run_log import RunLog
from search.records.metrics import Metric, Unit

SMALLEST_SHARE = 0.005
"""Margin of a share of things that are right, half a point; in percent, a hundred times that."""
MARGIN_SHARE = 0.01
"""Margin of any other metric, as a part of its mean over the reference's runs."""


def metric_for(measure: Measure, log: RunLog, margin: float | None) -> Metric:
    """The entry of a script's metric, with the margin that was asked for or that its size suggests.

    Args:
        measure: The metric.
        log: Its runs, for the usual size of the metric.
        margin: As asked for, in the metric's own unit, or None.
    """
    values = [outcome.metrics[measure.text] for outcome in log.outcomes.values() if outcome.is_done]
    if margin is None:
        margin = _usual_margin(measure, values)
    decimals = min(8, max(0, math.ceil(-math.log10(margin)) + 1))
    return Metric(
        name="script",
        words=measure.name,
        unit=Unit(word="", decimals=decimals, least_span=4.0 * margin, least=-math.inf),
        larger_is_better=measure.larger_is_better is not False,
        margin=margin,
    )


def _usual_margin(measure: Measure, values: Sequence[float]) -> float:
    size = float(np.mean(np.abs(values))) if values else 1.0
    is_share = measure.larger_is_better and values and 0.0 <= min(values) <= max(values) <= 100.0
    if is_share and max(values) <= 1.0:
        return SMALLEST_SHARE
    if is_share and max(values) > 20.0:
        return 100.0 * SMALLEST_SHARE
    return MARGIN_SHARE * size or MARGIN_SHARE
