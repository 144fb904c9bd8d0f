"""Comparison of values between two ends of a turned setting: the range in which it may stand.

A turn says that one value beats another, and nothing of those between them. Here a few of them are
run on the same splits and seeds as the advised value and compared with it. This is a reading, made
after the turns: it turns nothing, and is no part of their error control.

Each difference has a t interval of its own over the seeds, at a third of the 5 % if there are three
(Bonferroni), so that all hold together. An error pooled over the values would be narrower, but
values differ in noise: with three seeds and one value three times as noisy, all of the pooled
intervals held in 91 % of 400 simulated experiments; these held in 95 to 97 % of 2000, with two,
three and five seeds and any value the noisy one.
"""

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np

from search.records.metrics import metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.schema import Estimate, Refined, TriedValue
from search.verdict.sequential import FAMILY_ALPHA
from search.verdict.wording import change, change_with_interval, count, listed, metric_words, raw


def refined(
    strength: str,
    measured: Mapping[float, Mapping[int, float]],
    *,
    metric: str,
    effective: Mapping[float, float],
    diverged: Set[float] = frozenset(),
) -> Refined | None:
    """Compare values of a strength with the advised one; None before any two were run together.

    Args:
        strength: Name of the strength.
        measured: The metric by value, then by seed; the advised value first, then the others, each
            farther from it.
        metric: Reported name of the metric, such as ``val/nll_refined``.
        effective: The values in effective units.
        diverged: Values with which a run diverged; they count as worse.
    """
    advised, *others = measured
    sign = metric_of(metric).sign
    alpha = FAMILY_ALPHA / max(1, len(others))
    found = {
        value: _paired_difference(measured[value], measured[advised], alpha=alpha)
        for value in others
    }
    if all(math.isnan(difference.mean) for difference in found.values()):
        return None
    tried = [
        TriedValue(
            value=value,
            effective=effective[value],
            minus_advised=difference,
            diverged=value in diverged,
        )
        for value, difference in found.items()
    ]
    as_good = [advised]
    for one in tried:
        if _is_worse(one, sign):
            break  # What lies beyond a value that is worse is not recommended either.
        as_good.append(one.value)
    return Refined(
        strength=strength,
        metric=metric,
        advised=advised,
        seeds=len(measured[advised]),
        tried=tuple(tried),
        as_good=(min(as_good), max(as_good)),
        sentence=_sentence(
            strength, advised, tried, as_good, metric=metric, seeds=len(measured[advised])
        ),
    )


def _paired_difference(
    of_value: Mapping[int, float], of_advised: Mapping[int, float], *, alpha: float
) -> Estimate:
    """Estimate the mean difference over the seeds that both were run with."""
    shared = [seed for seed in of_advised if seed in of_value]
    if not shared:
        return Estimate(mean=math.nan, ci95=(-math.inf, math.inf))
    differences = np.array([of_value[seed] - of_advised[seed] for seed in shared])
    mean, num = float(differences.mean()), len(shared)
    base = float(np.mean([of_advised[seed] for seed in shared]))
    if num < 2:
        return Estimate(mean=mean, ci95=(-math.inf, math.inf), base=base)
    half = t_quantile(alpha, num - 1) * float(differences.std(ddof=1)) / math.sqrt(num)
    return Estimate(mean=mean, ci95=(mean - half, mean + half), base=base)


def _is_worse(tried: TriedValue, sign: float) -> bool:
    """Whether the whole interval is on the worse side; where it is unknown, that is not known."""
    return tried.diverged or tried.minus_advised.times(sign).ci95[1] < 0.0


def _sentence(
    strength: str,
    advised: float,
    tried: Sequence[TriedValue],
    as_good: Sequence[float],
    *,
    metric: str,
    seeds: int,
) -> str:
    sign = metric_of(metric).sign
    inside = [one for one in tried if one.value in as_good]
    worse = [one for one in tried if _is_worse(one, sign)]
    better = [one for one in inside if one.minus_advised.times(sign).ci95[0] > 0.0]
    if inside:
        low, high = min(as_good), max(as_good)
        cost = min(one.minus_advised.times(sign).ci95[0] for one in inside)
        most = (
            f"it costs at most {change(metric, min(cost, 0.0)).lstrip('+-')}"
            if math.isfinite(cost)
            else "what it costs is not known"
        )
        said = [
            f"anything from {raw(low)} to {raw(high)} is as good as {raw(advised)} as far as "
            f"{count(seeds, 'seed')} can tell ({most})"
        ]
    else:
        said = [f"{raw(advised)} is needed"]
    if better:
        each = [f"{raw(b.value)} ({change_with_interval(metric, b.minus_advised)})" for b in better]
        said.append(f"better than it: {listed(each)}")
    if worse:
        each = [
            f"{raw(w.value)} (diverged)"
            if w.diverged
            else f"{raw(w.value)} ({change_with_interval(metric, w.minus_advised)})"
            for w in worse
        ]
        said.append(f"worse: {listed(each)}")
    return f"{strength}, by {metric_words(metric)}: {'; '.join(said)}"
