"""Build the advised recipe: the reference with the values that the dials recommend, and why.

The advised recipe is one cell of the experiment: settings without a dial (a searched learning rate,
say) have the best recipe's value, as in every run that the effects were measured on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from search.plan.plan import Plan
from search.verdict.answer.advised_value import advised_value
from search.verdict.schema import Dial
from spaces.recipe import Recipe


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
    (`search.verdict.answer.advised_value.shrunken`).
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
