"""Evidence for the fit state of a recipe: its errors on training and validation images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from search.records.metrics import TOP1, Metric
from search.verdict.recipe_comparison import RecipeComparison

ROLES = ("reference", "best", "scaled", "off")
LONGER, TIMES_LONGER = "longer", 2
"""Everything off for this many times the epochs, which tells whether time is what is missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitEvidence:
    """Final metrics of all full-length runs of one recipe.

    Attributes:
        metrics: By seed, then by name: ``clean_train/top1``, ``clean_train/nll`` and ``val/top1``
            of the weights that ship; where these are an average, also ``val_raw/top1`` and
            ``val_ema/top1``. If another share than top-1 decides, its values take top-1's place.
            Runs of different recipes with the same seed are compared in pairs.
            num_diverged: Number of further runs, which diverged.
    """

    metrics: Mapping[int, Mapping[str, float]]
    num_diverged: int = 0

    @property
    def has_diverged(self) -> bool:
        """Whether at least half of the runs diverged."""
        return self.num_diverged > 0 and self.num_diverged >= len(self.metrics)


class FitComparison(RecipeComparison):
    """A comparison of recipes by one share (such as accuracy) and by the parts of its error.

    The advised recipe is not judged: its runs show the noise, as all do.

    Attributes:
        metric: The share; 1 minus it is the error.
        clean: Name of the share on clean training images.
        val: Name of the share on validation images, with the weights that ship.
        raw: Name of the share on validation images, with the raw weights.
        average: Name of the share on validation images, with the average.
        gap: Name of the difference clean training minus validation.
        excess: Name of the difference clean training error minus gap.
        lag: Name of the difference raw weights minus average, on validation images.
    """

    def __init__(self, evidence: Mapping[str, FitEvidence], metric: Metric) -> None:
        missing = sorted({"reference", "best", "off"} - set(evidence))
        unknown = sorted(set(evidence) - {*ROLES, "advised", LONGER})
        if missing or unknown:
            raise ValueError(
                "Evidence must be given for reference, best and off, and may be for scaled, "
                f"advised and longer, but got {missing=} and {unknown=}."
            )
        self.metric = metric if metric.is_share else TOP1
        self.clean, self.val = self.metric.on("clean_train"), self.metric.on("val")
        self.raw, self.average = self.metric.on("val_raw"), self.metric.on("val_ema")
        self.gap, self.excess = self.metric.on("gap"), self.metric.on("excess")
        self.lag = self.metric.on("lag")
        super().__init__(
            {
                role: {seed: self._with_parts(named) for seed, named in given.metrics.items()}
                for role, given in evidence.items()
            }
        )

    def value(self, role: str, name: str) -> str:
        """Format the mean of one metric of a recipe, with its unit."""
        return self.metric.unit.value(self.mean(role, name))

    def num_runs(self) -> int:
        """Count the runs of the recipes that are judged."""
        return sum(len(self._metrics.get(role, {})) for role in ROLES)

    def _with_parts(self, metrics: Mapping[str, float]) -> dict[str, float]:
        clean, val = metrics.get(self.clean, math.nan), metrics.get(self.val, math.nan)
        raw, average = metrics.get(self.raw, math.nan), metrics.get(self.average, math.nan)
        gap = clean - val
        parts = {self.gap: gap, self.excess: 1.0 - clean - gap, self.lag: raw - average}
        return {**metrics, **parts}
