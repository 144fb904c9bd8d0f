"""The specification of a training run that the driver sends to a worker.

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
class Soup:
    """Final weights of other runs of a seed, which may be averaged with a run's own.

    Attributes:
        locations: Path or URI of the weights, by name of the run.
        scores: What each reached on the validation images, by the same names, signed so that larger
            is better.
        metric: Name of that metric in `trainable.evaluation.quick_metrics`.
        sign: 1.0 if larger values of it are better, else -1.0.
    """

    locations: Mapping[str, str]
    scores: Mapping[str, float]
    metric: str
    sign: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """The complete specification of a training run, apart from the data.

    Attributes:
        recipe: Recipe to train; ``recipe.seed`` determines every random choice of the run.
        split_seed: Seed of a fresh split of the labelled pool (train + validation), or None for the
            dataset's own split. The test images are the same whatever the seed.
        num_train: Training images of the split to keep, class by class; None for all.
        evaluate_on: ``val``, or ``test`` for validation in every evaluation and test in the last.
        ema_levels: Decays to average with beside the recipe's own, by level name.
        within_levels: Raw values of factors that do not act back on training, by level name
            ``<average>.<factor>``: that level of ``ema_levels`` is measured with them too.
        eval_epochs: Epochs after which it is evaluated; the last epoch always is.
        with_readings: Whether the last evaluation on the test images also measures other ways of
            using the trained model, `trainable.on_test.results.readings_on_test`.
        with_frozen: Whether the last evaluation also measures, on the test images, baselines that
            train nothing but a classifier on frozen features; only for a pretrained recipe.
        keep_weights: Whether the checkpoint of its last epoch is kept after its end.
        weights_to: Path or URI that its final weights are written to, for a soup; None for nowhere.
        soup: Weights of other runs that are averaged with its own, and measured on the test images
            after its end; None for no average.
        checkpoint: Path or URI of the checkpoint to resume from, or None to begin anew.

    Raises:
        InputError: If ``num_train`` is below 1, ``evaluate_on`` is neither of its two values,
            ``within_levels`` names an average that there is none of, or frozen features are asked
            for where none are pretrained.
    """

    recipe: Recipe
    split_seed: int | None = None
    num_train: int | None = None
    evaluate_on: str = "val"
    ema_levels: Mapping[str, float] = field(default_factory=dict)
    within_levels: Mapping[str, float] = field(default_factory=dict)
    eval_epochs: tuple[int, ...] = ()
    with_readings: bool = False
    with_frozen: bool = False
    keep_weights: bool = False
    weights_to: str | None = None
    soup: Soup | None = None
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if self.num_train is not None and self.num_train < 1:
            raise InputError(f"`num_train >= 1` must hold, but got {self.num_train!r}.")
        if self.evaluate_on not in PARTS:
            raise InputError(
                f"`evaluate_on` must be one of {', '.join(PARTS)}, but got {self.evaluate_on!r}."
            )
        if unknown := {n.partition(".")[0] for n in self.within_levels} - set(self.ema_levels):
            raise InputError(
                f"`within_levels` must name averages of {list(self.ema_levels)}, but got "
                f"{sorted(unknown)[0]!r}."
            )
        if self.with_frozen and not self.recipe.pretrained:
            raise InputError("`with_frozen` must be false for a recipe that is not pretrained.")

    def is_evaluated_after(self, epoch: int) -> bool:
        """Whether the run is evaluated after ``epoch`` epochs."""
        return epoch == self.recipe.epochs or epoch in self.eval_epochs

    def is_tested_after(self, epoch: int) -> bool:
        """Whether the run is evaluated on the test images after ``epoch`` epochs."""
        return epoch == self.recipe.epochs and self.evaluate_on == "test"

    def to_dict(self) -> dict[str, Any]:
        """Convert to a mapping of plain values."""
        return {**asdict(self), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Convert back from the mapping of `to_dict`.

        Raises:
            InputError: If a value of the recipe is of the wrong type or outside its interval.
        """
        values = {
            **data,
            "recipe": Recipe.from_dict(data["recipe"]),
            "eval_epochs": tuple(data["eval_epochs"]),
            "soup": Soup(**data["soup"]) if data["soup"] else None,
        }
        return cls(**values)
