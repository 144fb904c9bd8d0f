"""One training run as a worker is asked for it: what crosses the border between driver and worker.

The driver knows more of a trial (its stage, its block of the experiment, whether it may be stopped
early), which is `search.records.trials.TrialSpec`; none of that changes how a run trains.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from spaces.errors import InputError
from spaces.recipe import Recipe

PARTS = ("val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """A training run, fully determined but for the data.

    Attributes:
        recipe: What to train; ``recipe.seed`` decides every random choice of the run.
        split_seed: Seed of a fresh split of the labelled pool (train + validation), or None for the
            dataset's own split. The test images are the same whatever the seed.
        evaluate_on: ``val``, or ``test`` for validation in every evaluation and test in the last.
        ema_levels: Decays to average with beside the recipe's own, by level name.
        eval_epochs: Epochs after which it is evaluated; the last epoch always is.
        keep_weights: Whether its last epoch leaves a checkpoint that stays when it is over.
        checkpoint: Path or URI of the state that it goes on from, or None to begin.

    Raises:
        InputError: If ``evaluate_on`` is neither of its two values.
    """

    recipe: Recipe
    split_seed: int | None = None
    evaluate_on: str = "val"
    ema_levels: Mapping[str, float] = field(default_factory=dict)
    eval_epochs: tuple[int, ...] = ()
    keep_weights: bool = False
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if self.evaluate_on not in PARTS:
            raise InputError(
                f"`evaluate_on` must be one of {', '.join(PARTS)}, but got {self.evaluate_on!r}."
            )

    def is_evaluated_after(self, epoch: int) -> bool:
        """Whether metrics are due after that many epochs."""
        return epoch == self.recipe.epochs or epoch in self.eval_epochs

    def is_tested_after(self, epoch: int) -> bool:
        """Whether the test images are looked at after that many epochs."""
        return epoch == self.recipe.epochs and self.evaluate_on == "test"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which any process can read without the classes of this one."""
        return {**asdict(self), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InputError: If a value of the recipe is of the wrong type or outside its interval.
        """
        values = {
            **data,
            "recipe": Recipe.from_dict(data["recipe"]),
            "eval_epochs": tuple(data["eval_epochs"]),
        }
        return cls(**values)
