"""Correction of an effect for selection: only effects that passed a test are reported as turns.

An effect that is shown because it passed a threshold is too large on average (the winner's curse).
Given that it passed, the estimate has a truncated normal distribution; the effect for which the
observed value is its median is an estimate without that bias, and the effects for which it lies at
the 2.5 and 97.5 % points bound a conditional 95 % interval (Zhong & Prentice 2008, Biostatistics
9). Near the bar such intervals reach arbitrarily far down, so both ends are cut to an unconditional
interval that errs with probability `HYBRID_ALPHA` (Andrews, Kitagawa & McCloskey 2024, Q. J. Econ.
139).

Runs that were made after the turn are not selected. With them the estimate is the mean of a
selected and an unselected part, whose joint distribution is used. That earlier looks did not turn
the dial is not conditioned on; the simulation in tests/verdict_tests measures the remaining error.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import scipy  # It loads a part of it when that is first used.

from search.verdict.blocked_model import t_quantile
from search.verdict.effects import Effect
from search.verdict.schema import Estimate

HYBRID_ALPHA = 0.005
"""Error probability of the unconditional interval that both ends are cut to."""

_NORMAL = NormalDist().inv_cdf(0.975)
_NODES = (np.arange(400) + 0.5) / 400


def selected_estimate(now: Effect, then: Effect, *, level: float) -> Estimate:
    """Estimate the effect of a turned dial, given that it passed the test that turned it.

    Args:
        now: Effect estimated from all runs; positive values help.
        then: Effect estimated at the look that turned the dial; may be the same.
        level: One-sided significance level of the test that it passed then.

    Returns:
        A median-unbiased estimate with its 95 % interval; the plain one where the noise is unknown.
    """
    half = (now.ci95[1] - now.ci95[0]) / 2.0
    if not 0.0 < half < math.inf or then.dof == 0 or not 0.0 < level < 0.5:
        return Estimate(mean=now.mean, ci95=now.ci95)
    bar = float(scipy.stats.t.isf(level, then.dof)) * then.std_error
    share = min(1.0, then.num_runs / now.num_runs)

    def effect_at(probability: float, error: float) -> float:
        """Solve for the effect under which the estimate is below the seen one so often."""

        def below(effect: float) -> float:
            return _probability_below(now.mean - effect, bar - effect, error, share)

        most = float(scipy.stats.norm.isf(HYBRID_ALPHA / 2.0)) * error
        return _solve(below, probability, now.mean, most)

    # The quantiles of t are folded into the errors, so that normal ones can be used. The ends allow
    # for splits as the plain interval does; the middle goes by the error of the bar.
    low, high = (effect_at(p, half / _NORMAL) for p in (0.975, 0.025))
    middle = effect_at(0.5, t_quantile(0.05, now.dof) * now.std_error / _NORMAL)
    return Estimate(mean=middle, ci95=(low, high))


def _probability_below(seen: float, bar: float, error: float, share: float) -> float:
    """Compute the probability of an estimation error up to ``seen``, given the earlier test passed.

    Args:
        seen: Estimate from all runs, minus the effect.
        bar: Threshold that the estimate from the first runs passed, minus the effect.
        error: Standard error of the estimate from all runs.
        share: Share of the runs that had ended when it passed, in (0, 1].
    """
    first = error / math.sqrt(share)
    log_passed = scipy.stats.norm.logsf(bar / first)
    if share == 1.0:
        return float(-np.expm1(min(0.0, scipy.stats.norm.logsf(seen / error) - log_passed)))
    # Points of equal probability in the part of the first estimate's distribution above the bar.
    passed = -scipy.stats.norm.ppf(np.exp(log_passed) * _NODES)
    rest = error * math.sqrt(1.0 - share)
    return float(scipy.stats.norm.cdf((seen - share * first * passed) / rest).mean())


def _solve(below: Callable[[float], float], wanted: float, seen: float, most: float) -> float:
    """Find the effect within ``seen ± most`` where the falling function ``below`` is ``wanted``."""
    low, high = seen - most, seen + most
    if below(low) <= wanted:
        return low
    if below(high) >= wanted:
        return high
    return float(scipy.optimize.brentq(lambda effect: below(effect) - wanted, low, high, xtol=1e-6))
