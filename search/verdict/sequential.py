"""Error control for repeated looks at an experiment with several dials and several metrics.

The experiment is looked at after two rounds of blocks, after three, and so on (a round is as many
blocks as make eight runs, see `search.verdict.design.blocks_per_look`), and each look asks several
metrics of every dial. Over all of that, a dial that does nothing is turned with probability at most
`FAMILY_ALPHA` (family-wise: even one false ``down`` or ``up`` in the whole experiment counts). Only
a change that helps is ever a turn, so each question is one-sided. The rest is a union bound, which
needs no assumption on how looks, dials or metrics depend on each other:

- questions: each question of a look has its part of `shares`, most of it for the metric that
  decides first;
- looks: the planned looks spend the error probability like a power of the runs made so far (Kim &
  DeMets 1987, Biometrika 74), most of it late, where an effect is known best. A tenth is kept for
  unplanned looks: blocks added to a finished experiment (top-ups). The k-th top-up may spend
  ``RESERVE / 2**k``, so the sum stays below ``RESERVE`` however many follow;
- dials: the smallest p-value of a dial over questions and looks, each divided by its share, is a
  p-value for all of them; Holm's step-down procedure (Holm 1979) decides over the dials. The more
  dials have turned, the less is asked of the next. As the smallest p-value can only fall, a turn
  once made stays.

The union bound over looks costs little: in simulations, a boundary that uses the correlation of
normal statistics between two looks is 2 % narrower.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import scipy  # It loads a part of it when that is first used.

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.effects import Effect

FAMILY_ALPHA = 0.05
"""Probability of at least one false turn in the whole experiment."""

_FIRST_SHARE, _THEN_SHARE, _DIVERGED_SHARE = 0.8, 0.16, 0.04


def shares(first: Metric = TOP1) -> Mapping[str, float]:
    """Split the error probability of a look among the questions that may decide a dial, in order.

    Most goes to the metric that decides first. The metrics that decide after it share a smaller
    part equally, which suffices as log-loss effects that matter are many standard errors large; if
    there are none, the first metric has that part too. The parts add up to 1.
    """
    then = {metric_of(name).on("val"): _THEN_SHARE / len(first.then) for name in first.then}
    own = _FIRST_SHARE if then else _FIRST_SHARE + _THEN_SHARE
    return {"diverged": _DIVERGED_SHARE, first.on("val"): own, **then}


SPENDING_EXPONENT = 2.5
"""Exponent of the spending function ``(rounds / planned rounds) ** exponent``.

Looks after 2, 3 and 4 of 4 rounds get 18, 31 and 51 %. In simulations at the noise of 300
validation images (1.8 points from run to run), an effect of three points is found in 88 % of
experiments, against 78 % with equal parts.
"""

RESERVE = 0.1
"""Part of the error probability that is kept for blocks added to a finished experiment."""


def look_share(rounds: int, plans: Sequence[int], *, first: int = 2) -> float:
    """Compute the part of the error probability that the look after ``rounds`` may spend.

    Args:
        rounds: Number of rounds of blocks that the look sees, at least 2: one has no error term.
        plans: The largest number of rounds as first planned, then as each top-up raised it.
        first: Number of rounds that the first look sees.

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
    """Apply Holm's procedure; return the rejected hypotheses with the level each was tested at.

    Args:
        p_values: A p-value for each hypothesis; above 1 counts as 1.
        alpha: Family-wise error probability: that any true hypothesis is rejected.
    """
    rejected: dict[str, float] = {}
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        level = alpha / (len(p_values) - place)
        if p_values[name] > level:
            break
        rejected[name] = level
    return rejected


def p_helps(gain: Effect) -> float:
    """Compute the one-sided p-value of a gain against no gain; 1 without an error term.

    An effect that is the same in every run counts as one without an error term.

    Args:
        gain: Effect whose positive values help.
    """
    if gain.dof == 0 or not 0.0 < gain.std_error < math.inf:
        return 1.0
    return float(scipy.special.stdtr(gain.dof, -gain.mean / gain.std_error))


def runs_to_turn(
    gain: Effect, *, runs_per_round: int, share: float, num_dials: int, most: int = 2**20
) -> float:
    """Estimate the number of further runs after which a last look would turn a dial by a metric.

    Args:
        gain: Effect as estimated so far, taken as true; positive values help.
        runs_per_round: Runs that one more round adds.
        share: Part of the error probability that this question has at the last look.
        num_dials: Number of dials that are not turned yet.
        most: Number of rounds above which the result is infinite.

    Returns:
        A multiple of ``runs_per_round``; infinite if the effect does not help or has no error term.
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
    """Estimate the number of further runs, in whole rounds, that would decide a dial.

    Takes the effect on the first metric and its noise as true and finds the number of rounds after
    which either a last look would turn the dial (or show that the change hurts), or the 95 %
    interval would lie within ``margin``. It is as uncertain as the effect, and largest for effects
    near half the margin.

    Args:
        effect: Effect on the first metric, as estimated so far.
        runs_per_round: As in `runs_to_turn`.
        share: As in `runs_to_turn`.
        num_dials: As in `runs_to_turn`.
        margin: Half-width of the zone of no practical difference.

    Returns:
        At least ``runs_per_round``; None if there is no error term.
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
    """Predict the standard error and degrees of freedom after ``rounds`` further rounds."""
    total = effect.num_runs + rounds * runs_per_round
    return effect.std_error * math.sqrt(effect.num_runs / total), effect.dof + rounds


def _first(holds: Callable[[int], bool], most: int) -> int | None:
    """Find the smallest number from 1 to ``most`` for which a monotone condition holds, or None."""
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
