"""Error control for looking again and again, at several dials, by several metrics.

The experiment is looked at after two rounds of blocks, after three, and so on (a round is as many
blocks as make eight runs, see `search.verdict.design.blocks_per_look`), and each look asks several
metrics of every dial. Over all of that, a dial that does nothing is turned with probability at most
`FAMILY_ALPHA` (family-wise: even one false ``down`` or ``up`` in the whole experiment counts). Only
a change that helps is ever a turn, so each question is one-sided. The rest is a union bound, which
needs no assumption on how looks, dials or metrics depend on each other:

- what is asked: each question of a look has its part of `shares`, most of it for the metric that
  decides first;
- looks: the planned looks spend the error probability like a power of the runs made so far (Kim &
  DeMets 1987, Biometrika 74), most of it late, where an effect is known best. A tenth is kept for
  looks that nobody planned: a finished experiment that is topped up. The k-th top-up may spend
  ``RESERVE / 2**k``, so however many follow, the sum holds;
- dials: the smallest p-value of a dial over questions and looks, each divided by its share, is a
  p-value for all of them; Holm's step-down procedure (Holm 1979) decides over the dials. The more
  dials have turned, the less is asked of the next. As the smallest p-value can only fall, a turn
  once made stays.

What the union bound over looks costs is little: a boundary that uses how normal statistics of two
looks are correlated is 2 % narrower (by simulation).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from scipy import special

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.effects import Effect

FAMILY_ALPHA = 0.05
"""Probability of at least one false turn in the whole experiment."""

_FIRST_SHARE, _THEN_SHARE, _DIVERGED_SHARE = 0.8, 0.16, 0.04


def shares(first: Metric = TOP1) -> Mapping[str, float]:
    """How the error probability of a look is shared among what may decide a dial, in this order.

    Most goes to the metric that decides first. What decides where that one does not shares a
    smaller part equally, for log-loss effects that matter are many standard errors large; without
    such a metric the first has that part too.
    """
    then = {metric_of(name).on("val"): _THEN_SHARE / len(first.then) for name in first.then}
    own = _FIRST_SHARE if then else _FIRST_SHARE + _THEN_SHARE
    return {"diverged": _DIVERGED_SHARE, first.on("val"): own, **then}


SPENDING_EXPONENT = 2.5
"""Power of the share of the planned runs that is made: 18, 31 and 51 % for looks at 2, 3, 4 of 4.

By simulation at the noise of 300 validation images (1.8 points from run to run), a culprit of three
points is found in 88 % of experiments, against 78 % with equal parts.
"""

RESERVE = 0.1
"""Part of the error probability that is kept for top-ups of a finished experiment."""


def look_share(rounds: int, plans: Sequence[int], *, first: int = 2) -> float:
    """Part of the error probability that the look after so many rounds of blocks may spend.

    Args:
        rounds: Rounds that the look sees, at least 2: one round has no error term.
        plans: The largest number of rounds as first planned, then as each top-up raised it.
        first: Rounds that the first look sees.

    Raises:
        ValueError: If a number lies outside its interval, or ``plans`` does not rise.
    """
    if not plans or plans[0] < 2 or any(a >= b for a, b in pairwise(plans)):
        raise ValueError(f"`plans` must rise from 2 or more, but got {tuple(plans)}.")
    if not 2 <= first <= rounds <= plans[-1]:
        raise ValueError(
            f"`2 <= first <= rounds <= {plans[-1]}` must hold, but got {first=} and {rounds=}."
        )
    if rounds <= plans[0]:
        before = 0.0 if rounds == first else float(((rounds - 1) / plans[0]) ** SPENDING_EXPONENT)
        spent: float = (rounds / plans[0]) ** SPENDING_EXPONENT
        return (1.0 - RESERVE) * (spent - before)
    top_up = next(k for k, most in enumerate(plans) if rounds <= most)
    start, size = plans[top_up - 1], plans[top_up] - plans[top_up - 1]
    now, before = ((r - start) / size for r in (rounds, rounds - 1))
    spent = now**SPENDING_EXPONENT - before**SPENDING_EXPONENT
    return float(RESERVE / 2**top_up * spent)


def step_down(p_values: Mapping[str, float], *, alpha: float = FAMILY_ALPHA) -> dict[str, float]:
    """Reject by Holm's procedure; the level that each rejected hypothesis was held to, by name.

    Args:
        p_values: A p-value for each hypothesis; above 1 counts as 1.
        alpha: Probability of rejecting any true one.
    """
    rejected: dict[str, float] = {}
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        level = alpha / (len(p_values) - place)
        if p_values[name] > level:
            break
        rejected[name] = level
    return rejected


def p_helps(gain: Effect) -> float:
    """One-sided p-value of a gain that is none; 1 without an error term.

    What came out the same in every run has no error term either.

    Args:
        gain: An effect whose positive values help.
    """
    if gain.dof == 0 or not 0.0 < gain.std_error < math.inf:
        return 1.0
    return float(special.stdtr(gain.dof, -gain.mean / gain.std_error))


def runs_to_turn(
    gain: Effect, *, runs_per_round: int, share: float, num_dials: int, most: int = 2**20
) -> float:
    """More runs after which a last look would turn a dial by this metric, if nothing else changes.

    Args:
        gain: As estimated so far; positive values help.
        runs_per_round: Runs that one more round adds.
        share: Part of the error probability that the last look and this question have.
        num_dials: Dials that are not turned yet.
        most: Rounds after which it counts as never.

    Returns:
        A multiple of ``runs_per_round``; infinite where the effect does not help or has no error.
    """
    if gain.dof == 0 or not 0.0 < gain.std_error < math.inf or not gain.mean > 0.0:
        return math.inf

    def turns(rounds: int) -> bool:
        error, dof = _later(gain, rounds, runs_per_round)
        return gain.mean > t_quantile(2.0 * FAMILY_ALPHA * share / num_dials, dof) * error

    rounds = _first(turns, most)
    return math.inf if rounds is None else rounds * runs_per_round


def runs_to_decide(
    effect: Effect, *, runs_per_round: int, share: float, num_dials: int, margin: float
) -> int | None:
    """Estimate how many more runs, in whole rounds, would decide a dial by the first metric.

    Takes the effect and its noise as they now look and asks after how many more rounds either a
    last look would turn it (or see that it hurts), or the 95 % interval would lie within
    ``margin``. The estimate is as uncertain as the effect: near half the margin it is largest.

    Args:
        effect: As estimated so far.
        runs_per_round: As in `runs_to_turn`.
        share: As in `runs_to_turn`.
        num_dials: As in `runs_to_turn`.
        margin: Half-width of the zone of no practical difference.

    Returns:
        At least ``runs_per_round``; None if there is no error estimate to go by.
    """
    if effect.dof == 0 or not 0.0 < effect.std_error < math.inf:
        return None

    def decides(rounds: int) -> bool:
        error, dof = _later(effect, rounds, runs_per_round)
        bar = t_quantile(2.0 * FAMILY_ALPHA * share / num_dials, dof) * error
        return abs(effect.mean) > bar or abs(effect.mean) + t_quantile(0.05, dof) * error < margin

    rounds = _first(decides, 2**24)
    return None if rounds is None else rounds * runs_per_round


def _later(effect: Effect, rounds: int, runs_per_round: int) -> tuple[float, int]:
    """Standard error and degrees of freedom after so many more rounds."""
    total = effect.num_runs + rounds * runs_per_round
    return effect.std_error * math.sqrt(effect.num_runs / total), effect.dof + rounds


def _first(holds: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 1 for which a condition holds that stays true once it is."""
    high = 1
    while not holds(high):
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
