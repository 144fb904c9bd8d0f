"""Build the advised recipe: the reference with the values that the dials recommend, and why.

The advised recipe is one cell of the experiment: settings without a dial (a searched learning rate,
say) have the best recipe's value, as in every run that the effects were measured on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from search.plan.plan import Plan
from search.records.metrics import metric_of
from search.verdict.schema import Dial
from search.verdict.wording import change, raw
from spaces.recipe import Recipe

USUAL_EFFECT = 2.0
"""Usual size of an effect in margins of the metric; `shrunken` takes it as the prior's spread."""

_NORMAL = 1.959964


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """The recipe that follows every dial, with the reasons for its values.

    Attributes:
        recipe: The recipe.
        reasons: By strength, a sentence on why it has its value in the recipe.
    """

    recipe: Recipe
    reasons: Mapping[str, str]


def advise(plan: Plan, best: Recipe, dials: Sequence[Dial]) -> Advice:
    """Build the recipe that follows the dials, with the reason for each strength's value.

    A turned strength takes the best recipe's value; one whose change hurts or does nothing keeps
    the reference's. An undecided one keeps the reference's as well, unless the value that was tried
    is better by at least the margin of the metric after its effect is shrunk towards zero
    (`shrunken`).
    """
    chosen = {dial.strength: advised_value(dial) for dial in dials}
    base = (
        best
        if best.randaugment or not plan.reference.randaugment
        else replace(best, randaugment=plan.reference.randaugment)
    )
    recipe = plan.space.apply(base, {name: value for name, (value, _) in chosen.items()})
    return Advice(
        recipe=replace(recipe, seed=plan.reference.seed),
        reasons={name: reason for name, (_, reason) in chosen.items()},
    )


def advised_value(dial: Dial) -> tuple[float, str]:
    """Return the value that the advised recipe gives to the dial's strength, and why."""
    if dial.turn in ("down", "up"):
        return dial.recommended, f"turned {dial.turn} from {raw(dial.reference)}"
    if dial.turn == "leave":
        return dial.reference, "the reference's value"
    gain = shrunken(dial)
    metric = metric_of(dial.judged_by)
    if gain is not None and gain >= metric.margin and dial.recommended != dial.reference:
        likely = change(dial.judged_by, metric.sign * gain)
        return dial.recommended, f"not decided; tried, and likely {likely} of {metric.words}"
    return dial.reference, "not decided; the reference's value"


def shrunken(dial: Dial) -> float | None:
    """Estimate the gain from the value that was tried, shrunk towards zero; above 0 is better.

    It is the mean of the normal posterior under a normal prior around 0 with a standard deviation
    of `USUAL_EFFECT` margins: the noisier the effect, the more it shrinks. None if the noise is
    unknown.
    """
    effect = dial.effect.get(dial.judged_by)
    if effect is None:
        return None
    metric = metric_of(dial.judged_by)
    noise = (effect.ci95[1] - effect.ci95[0]) / (2.0 * _NORMAL)
    usual = USUAL_EFFECT * metric.margin
    if not 0.0 <= noise < float("inf"):
        return None
    return metric.sign * effect.mean * usual**2 / (usual**2 + noise**2)
