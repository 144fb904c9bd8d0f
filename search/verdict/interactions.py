"""Pairs of strengths whose effects depend on each other, found in the experiment and worded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.records.metrics import TOP1, Metric
from search.verdict.blocked_model import (
    MIN_RESIDUAL_DOF,
    Contrast,
    Floats,
    block_columns,
    contrast,
    pair_columns,
)
from search.verdict.effects import (
    LOSS_SPLIT_PRIOR,
    SPLIT_PRIOR,
    Effect,
    Run,
    design_of,
    effect_of,
    outcomes,
    trajectory_level,
)
from search.verdict.sequential import FAMILY_ALPHA
from search.verdict.wording import raw

STRONG_INTERACTION = 2.0
"""Smallest change of an effect by another strength's value that is reported.

In margins of the metric (`Metric.margin`): 2 margins are a point of top-1.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _PairFit:
    """The least-squares model of blocks, factors and all pairs of them, runs in rows.

    Attributes:
        values: Outcomes, one column.
        levels: Levels of the factors.
        inside: Indicators of the blocks.
        pairs: Positions of the two factors of each pair.
        products: Products of their levels, pairs in columns.
        model: ``inside``, ``levels`` and ``products`` side by side.
    """

    values: Floats
    levels: Floats
    inside: Floats
    pairs: Sequence[tuple[int, int]]
    products: Floats
    model: Floats


def _pair_fit(
    runs: Sequence[Run], names: tuple[str, ...], *, ema: bool, metric: Metric
) -> _PairFit | None:
    """Set up the model; None if no run has the metric."""
    level = trajectory_level(runs, ema=ema, metric=metric)
    kept, values = outcomes(runs, level, metric.on("val"))
    if not kept:
        return None
    levels, blocks = design_of(kept, names)
    inside = block_columns(blocks)
    pairs, products = pair_columns(levels)
    model = np.hstack([inside, levels, products])
    return _PairFit(
        values=values, levels=levels, inside=inside, pairs=pairs, products=products, model=model
    )


def estimate_interactions(
    runs: Sequence[Run], names: tuple[str, ...], *, ema: bool, metric: Metric = TOP1
) -> dict[tuple[str, str], Effect]:
    """Estimate for each pair of strengths how much one effect changes with the other's level.

    The value is the effect of one strength at the best's value of the other, less its effect at the
    reference's value of the other; it is the same both ways. Pairs that the runs cannot tell from
    other pairs have a mean of NaN. Only trajectory factors are paired: that an average at chance
    shrinks every other effect needs no estimate.
    """
    fit = _pair_fit(runs, names, ema=ema, metric=metric)
    if fit is None:
        return {}
    result = {}
    for at, (i, j) in enumerate(fit.pairs):
        weights = np.zeros(fit.model.shape[1])
        weights[fit.inside.shape[1] + len(names) + at] = 4.0
        own = fit.inside * fit.products[:, [at]]
        estimate: Contrast = contrast(fit.model, weights, fit.values, own=own)
        result[names[i], names[j]] = effect_of(estimate, len(fit.values))
    return result


def is_strong(joint: Effect, num_pairs: int, metric: Metric) -> bool:
    """Whether an interaction is beyond noise and large enough to matter.

    Beyond noise: the interval at error probability `FAMILY_ALPHA` over the number of pairs leaves
    out zero. Large enough: `STRONG_INTERACTION` or more.
    """
    low, high = joint.interval(FAMILY_ALPHA / num_pairs)
    is_large = abs(joint.mean) >= STRONG_INTERACTION * metric.margin
    return is_large and (low > 0.0 or high < 0.0)


def effects_beside(
    runs: Sequence[Run], names: tuple[str, ...], beside: Mapping[str, int], *, metric: Metric
) -> dict[str, Effect]:
    """Estimate the effect of each factor where all others have the levels ``beside``.

    Where effects depend on each other it says what a single change is worth in one configuration,
    which an effect averaged over the others' levels does not. The model has every pair, whether it
    shows or not, so that nothing is chosen by the outcome: with k factors the standard error is
    that of the average times the square root of k. Coverage: `benchmarks.efficiency.beside`. Left
    out is a factor of which the runs cannot tell a pair, and all of them where the model leaves
    fewer than `MIN_RESIDUAL_DOF` residual degrees of freedom, so that only luck makes pairs show.

    Args:
        runs: Runs of the experiment, all blocks, of factors between runs alone.
        names: The factors.
        beside: Level of each factor, -1 or +1.
        metric: Metric that decides.
    """
    fit = _pair_fit(runs, names, ema=False, metric=metric)
    if fit is None:
        return {}
    if len(fit.values) - int(np.linalg.matrix_rank(fit.model)) < MIN_RESIDUAL_DOF:
        return {}
    prior = SPLIT_PRIOR if metric.is_share else LOSS_SPLIT_PRIOR
    result = {}
    for at, name in enumerate(names):
        weights = np.zeros(fit.model.shape[1])
        weights[fit.inside.shape[1] + at] = 2.0
        # The runs of a block by which its own value of this effect is told.
        along = fit.levels[:, at].copy()
        for number, pair in enumerate(fit.pairs):
            if at in pair:
                other = names[pair[1] if pair[0] == at else pair[0]]
                weights[fit.inside.shape[1] + len(names) + number] = 2.0 * beside[other]
                along += beside[other] * fit.products[:, number]
        own = fit.inside * along[:, None]
        found = contrast(fit.model, weights, fit.values, own=own, inflation=prior)
        effect = effect_of(found, len(fit.values))
        if effect.is_estimable and found.dof:
            result[name] = effect
    return result


def strong_interactions(
    interactions: Mapping[tuple[str, str], Effect],
    effects: Mapping[str, Mapping[str, Effect]],
    *,
    reference: Mapping[str, float],
    best: Mapping[str, float],
    metric: Metric = TOP1,
) -> tuple[str, ...]:
    """Write a sentence for each interaction that is beyond noise and large enough to matter.

    See `is_strong`. Subject of the sentence is the strength whose effect varies most in proportion.

    Args:
        interactions: From `estimate_interactions`.
        effects: From `search.verdict.effects.estimate_effects`.
        reference: Raw values of the reference by strength.
        best: Raw values of the best by strength.
        metric: Metric of the interactions.
    """
    sentences = []
    name = metric.on("val")
    for (a, b), interaction in interactions.items():
        if not is_strong(interaction, len(interactions), metric):
            continue
        means = effects[a][name].mean, effects[b][name].mean
        if math.isnan(means[0] + means[1]):
            continue
        # The smaller main effect hides most behind its average over the other strength's levels.
        subject, other = (a, b) if abs(means[0]) <= abs(means[1]) else (b, a)
        mean = effects[subject][name].mean
        at_reference, at_best = mean - interaction.mean / 2, mean + interaction.mean / 2
        sentences.append(_sentence(subject, other, at_reference, at_best, reference, best, metric))
    return tuple(sentences)


def _sentence(
    subject: str,
    other: str,
    at_reference: float,
    at_best: float,
    reference: Mapping[str, float],
    best: Mapping[str, float],
    metric: Metric,
) -> str:
    where = {at_reference: raw(reference[other]), at_best: raw(best[other])}
    strong, weak = sorted(where, key=abs, reverse=True)
    strong_at = f"{other} is {where[strong]}"
    old, new = raw(reference[subject]), raw(best[subject])
    numbers = (
        f"going from {old} to {new} changes {metric.words} by {metric.unit.change(strong)} there "
        f"and by {metric.unit.change(weak)} where {other} is {where[weak]}"
    )
    is_weak_seen = abs(weak) >= STRONG_INTERACTION * metric.margin
    if strong * weak < 0.0 and is_weak_seen:
        return f"{subject} turns its sign with {other}; where {strong_at}: {numbers}."
    # If a change gains, the reference's value hurts, and the other way round.
    verb = f"at {old} only {'hurts' if metric.sign * strong > 0.0 else 'helps'}"
    if is_weak_seen:
        verb = verb.replace("only hurts", "hurts most").replace("only helps", "helps most")
    return f"{subject} {verb} when {strong_at}: {numbers}."
