"""Pairs of strengths whose effects depend on each other, found in the experiment and worded."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from search.records.metrics import TOP1, Metric
from search.verdict.blocked_model import (
    MIN_RESIDUAL_DOF,
    Contrast,
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


def estimate_interactions(
    runs: Sequence[Run], names: tuple[str, ...], *, ema: bool, metric: Metric = TOP1
) -> dict[tuple[str, str], Effect]:
    """Estimate for each pair of strengths how much one effect changes with the other's level.

    The value is the effect of one strength at the best's value of the other, less its effect at the
    reference's value of the other; it is the same both ways. Pairs that the runs cannot tell from
    other pairs have a mean of NaN. Only trajectory factors are paired: that an average at chance
    shrinks every other effect needs no estimate.
    """
    level = trajectory_level(runs, ema=ema, metric=metric)
    kept, values = outcomes(runs, level, metric.on("val"))
    if not kept:
        return {}
    levels, blocks = design_of(kept, names)
    inside = block_columns(blocks)
    pairs, products = pair_columns(levels)
    model = np.hstack([inside, levels, products])
    result = {}
    for at, (i, j) in enumerate(pairs):
        weights = np.zeros(model.shape[1])
        weights[inside.shape[1] + levels.shape[1] + at] = 4.0
        estimate: Contrast = contrast(model, weights, values, own=inside * products[:, [at]])
        result[names[i], names[j]] = effect_of(estimate, len(kept))
    return result


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
    level = trajectory_level(runs, ema=False, metric=metric)
    kept, values = outcomes(runs, level, metric.on("val"))
    if not kept:
        return {}
    levels, blocks = design_of(kept, names)
    inside = block_columns(blocks)
    pairs, products = pair_columns(levels)
    model = np.hstack([inside, levels, products])
    if len(kept) - int(np.linalg.matrix_rank(model)) < MIN_RESIDUAL_DOF:
        return {}
    prior = SPLIT_PRIOR if metric.is_share else LOSS_SPLIT_PRIOR
    result = {}
    for at, name in enumerate(names):
        weights = np.zeros(model.shape[1])
        weights[inside.shape[1] + at] = 2.0
        # The runs of a block by which its own value of this effect is told.
        along = levels[:, at].copy()
        for number, pair in enumerate(pairs):
            if at in pair:
                other = names[pair[1] if pair[0] == at else pair[0]]
                weights[inside.shape[1] + levels.shape[1] + number] = 2.0 * beside[other]
                along += beside[other] * products[:, number]
        found = contrast(model, weights, values, own=inside * along[:, None], inflation=prior)
        effect = effect_of(found, len(kept))
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

    Beyond noise: the interval at error probability `FAMILY_ALPHA` over the number of pairs leaves
    out zero. Large enough: `STRONG_INTERACTION` or more. Subject of the sentence is the strength
    whose effect varies most in proportion.

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
        low, high = interaction.interval(FAMILY_ALPHA / len(interactions))
        means = effects[a][name].mean, effects[b][name].mean
        is_strong = abs(interaction.mean) >= STRONG_INTERACTION * metric.margin
        if not (low > 0.0 or high < 0.0) or not is_strong:
            continue
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
