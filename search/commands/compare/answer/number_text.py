"""Numbers of a comparison as text: effects with their intervals, and long values cut short."""

import math
from dataclasses import replace

from search.commands.compare.asked.measuring import Measure
from search.records.metrics import Metric
from search.verdict.effects import Effect
from search.verdict.schema import Estimate


def effect_words(effect: Effect, metric: Metric) -> str:
    """An effect with its interval, ``+1.2 [+0.3, +2.1]``; empty where it cannot be told."""
    if not effect.is_estimable:
        return ""
    return estimate_words(Estimate(mean=effect.mean, ci95=effect.ci95), metric)


def estimate_words(estimate: Estimate, metric: Metric) -> str:
    """A difference with its interval."""
    low, high = estimate.ci95
    known = math.isfinite(low) and math.isfinite(high)
    ends = metric.unit.interval(low, high) if known else "(interval unknown)"
    return f"{metric.unit.signed(estimate.mean)} {ends}"


def digits_of(metric: Metric, measure: Measure, effect: Effect) -> Metric:
    """A further metric, written with digits that suit its size."""
    size = max((abs(end) for end in effect.ci95 if math.isfinite(end)), default=1.0) or 1.0
    decimals = min(8, max(0, 2 - math.floor(math.log10(size))))
    return replace(
        metric,
        words=measure.name,
        larger_is_better=measure.larger_is_better,
        unit=replace(metric.unit, decimals=decimals),
    )


def cut(text: str, most: int = 60) -> str:
    """A value as people read it, at most so many characters long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
