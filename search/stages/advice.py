"""The advised recipe: the reference with what the dials recommend, value by value with its reason.

It is one cell of the experiment: what gets no dial (a searched learning rate, say) is the best's,
as in every run that the effects were measured on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from search.plan.plan import Plan
from search.records.metrics import metric_of
from search.verdict.schema import Dial
from search.verdict.wording import change, raw
from spaces.recipe import Recipe

USUAL_EFFECT = 2.0
"""How large effects usually are, in margins of the metric: what open ones are shrunk by."""

_NORMAL = 1.959964


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A recipe that no dial argues with.

    Attributes:
        recipe: The recipe.
        reasons: By strength, why it has the value it has.
    """

    recipe: Recipe
    reasons: Mapping[str, str]


def advise(plan: Plan, best: Recipe, dials: Sequence[Dial]) -> Advice:
    """Apply the dials to the reference.

    A turned dial has the best's value, one that hurts or does nothing the reference's. An open dial
    has the reference's as well, unless the value that was tried is better by the margin of the
    metric once its effect is shrunk towards zero (see `shrunken`).
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
    """The value of one dial in the advised recipe, and why."""
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
    """The gain that is expected of the value that was tried, positive values being better.

    The effect is shrunk towards zero as much as its noise asks where effects are usually
    `USUAL_EFFECT` margins large (the mean of a normal posterior). None where the noise is unknown.
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
