"""Error control for looking after every block and at every dial.

The experiment is looked at after two blocks, after three, and so on (blocks of few runs
count together, see `search.verdict.design.blocks_per_look`) up to ``max_looks`` looks, and each
look asks several metrics of every dial. Over all of that, a dial that does nothing is turned with
probability at most `FAMILY_ALPHA` (family-wise: even one false ``down`` or ``up`` in the whole
experiment counts). The method is a union bound in three steps, so it needs no assumption on how
looks, dials or metrics depend on each other, and holds for t statistics of any degrees of freedom:

- dials: Bonferroni, each gets ``FAMILY_ALPHA / num_dials``;
- looks: that share is spent linearly in blocks (the spending function of Kim & DeMets 1987,
  Biometrika 74, with exponent 1): the first look, after two blocks, spends two shares of
  ``max_looks + 1``, each later one spends one;
- what is asked: `shares` of the rest, most of it for the metric that decides first.

What that costs is little: with three looks, a boundary that uses the correlation of normal
statistics between looks is 2 % narrower (by simulation), and nobody has one for few degrees of
freedom.
"""

import math
from collections.abc import Mapping

from search.records.metrics import TOP1, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.effects import Effect

FAMILY_ALPHA = 0.05
"""Probability of at least one false turn in the whole experiment."""

_FIRST_SHARE, _THEN_SHARE, _DIVERGED_SHARE = 0.6, 0.3, 0.1


def shares(first: Metric = TOP1) -> Mapping[str, float]:
    """How the error probability of a look is shared among what may decide a dial.

    Most goes to the metric that decides first. What decides where that one does not shares a
    smaller part equally; without such a metric the first has that part too.
    """
    then = {metric_of(name).on("val"): _THEN_SHARE / len(first.then) for name in first.then}
    own = _FIRST_SHARE if then else _FIRST_SHARE + _THEN_SHARE
    return {first.on("val"): own, **then, "diverged": _DIVERGED_SHARE}


def look_alpha(*, look: int, max_looks: int, num_dials: int, share: float = 1.0) -> float:
    """Error probability that one question at one dial may spend at this look.

    Args:
        look: From 1, the look after the second block, to ``max_looks``.
        max_looks: Looks planned: the largest number of blocks, less one.
        num_dials: Strengths that the experiment varies, at least 1.
        share: Part of the look that this question may spend, in ``(0, 1]``.

    Raises:
        ValueError: If an argument lies outside its interval.
    """
    if not 1 <= look <= max_looks:
        raise ValueError(f"`1 <= look <= max_looks` must hold, but got {look=} and {max_looks=}.")
    if num_dials < 1 or not 0.0 < share <= 1.0:
        raise ValueError(
            f"`num_dials >= 1` and `0 < share <= 1` must hold, but got {num_dials=} and {share=}."
        )
    shares_of_looks = 2 if look == 1 else 1
    return FAMILY_ALPHA * share * shares_of_looks / (max_looks + 1) / num_dials


def decision_interval(
    effect: Effect, *, look: int, max_looks: int, num_dials: int, share: float = 1.0
) -> tuple[float, float]:
    """The interval that must leave out zero for a dial to be turned at this look.

    Arguments and errors are those of `look_alpha`. Infinite if the effect has no standard error.
    """
    alpha = look_alpha(look=look, max_looks=max_looks, num_dials=num_dials, share=share)
    return effect.interval(alpha)


def runs_to_decide(
    effect: Effect,
    *,
    runs_per_block: int,
    max_looks: int,
    num_dials: int,
    share: float = 1.0,
    margin: float = TOP1.margin,
) -> int | None:
    """Estimate how many more runs, in whole blocks, would decide a dial.

    Takes the effect and its noise as they now look and asks after how many more blocks either the
    decision interval of a last look would leave out zero, or the 95 % interval would lie within
    ``margin``. The estimate is as uncertain as the effect: near half the margin it is largest.

    Args:
        effect: As estimated so far.
        runs_per_block: Runs that one more block adds.
        max_looks: As in `look_alpha`; the last look's part is used.
        num_dials: As in `look_alpha`.
        share: As in `look_alpha`.
        margin: Half-width of the zone of no practical difference.

    Returns:
        At least ``runs_per_block``; None if there is no error estimate to go by.
    """
    if effect.dof == 0 or not 0.0 < effect.std_error < math.inf:
        return None
    last = FAMILY_ALPHA * share / (max_looks + 1) / num_dials

    def decides(blocks: int) -> bool:
        total = effect.num_runs + blocks * runs_per_block
        error = effect.std_error * math.sqrt(effect.num_runs / total)
        dof = effect.dof + blocks
        return (
            abs(effect.mean) > t_quantile(last, dof) * error
            or abs(effect.mean) + t_quantile(0.05, dof) * error < margin
        )

    high = 1
    while not decides(high):
        high *= 2
        if high > 2**24:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high * runs_per_block
