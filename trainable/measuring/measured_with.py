"""Settings of a recipe that change how its weights are measured, and not their training."""

from dataclasses import dataclass
from typing import Self

from spaces.recipe import Recipe
from spaces.strengths.registry import strength


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredWith:
    """The settings with which weights are measured.

    Attributes:
        has_own_statistics: Whether BatchNorm's statistics of a weight average are measured anew.
        logit_adjustment: Tau, at least 0: how many times the logarithm of its share of the training
            images is subtracted from the logit of each class.
    """

    has_own_statistics: bool = False
    logit_adjustment: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Return the settings of a recipe."""
        return cls(
            has_own_statistics=recipe.ema_batch_norm == "measured",
            logit_adjustment=recipe.logit_adjustment,
        )

    @classmethod
    def at(cls, recipe: Recipe, level: str, value: float) -> Self:
        """Return the settings of a recipe with another value of one factor.

        Args:
            recipe: The recipe.
            level: Name of the measurement, ``<average>.<factor>``.
            value: Raw value of the factor.
        """
        return cls.of(strength(level.partition(".")[2]).put(recipe, value))
