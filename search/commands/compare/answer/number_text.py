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
        larger_is_better=measure.larger_is_better is not False,
        unit=replace(metric.unit, decimals=decimals),
    )


def result_words(value: float) -> str:
    """A result with four significant digits or the digits of a whole number: ``0.8120``, ``64``."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    return f"{value:.{3 - size}f}" if -4 <= size < 4 else f"{value:.4g}"


def cut(text: str, most: int = 60) -> str:
    """A value as people read it, at most so many characters long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
