"""The task: sizes of a training run that ranges and effective units depend on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from spaces.errors import InputError
from spaces.recipe import SGD_MOMENTUM, Recipe

SMALL_BELOW = 20_000
"""Number of images below which a dataset is small (BiT, Kolesnikov et al. 2020, section 3.3)."""
MEDIUM_BELOW = 500_000
"""Number of images below which a dataset is medium in BiT-HyperRule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """The size of a training run: numbers of images, classes and optimizer steps.

    Attributes:
        num_train: Training images, at least 1.
        num_classes: Classes, at least 2.
        batch_size: Images per optimizer step, at least 1.
        epochs: Passes over the training images, at least 1.
        lr: Peak learning rate, above 0.
        pretrained: Whether training starts from ImageNet weights.
        num_blocks: Residual blocks that stochastic depth can skip, at least 0.
        deepest_share: Rate of the deepest of them divided by the rate of the model, in ``(0, 1]``:
            1 in most architectures, 0.875 in EfficientNet-Lite0.
        has_batch_norm: Whether the model has BatchNorm, whose statistics a weight average needs.
        has_output_bias: Whether each output of the model has a bias, which an adjustment of logits
            is written into.
        smallest_class: Training images of the smallest class that has any, at least 0; 0 where the
            sizes of classes are not known.
        largest_class: The same of the largest.
        decay_momentum: Momentum that weight decay passes through on its way to a weight, in
            ``[0, 1)``: that of ``sgd``, whose decay is L2 in the gradient; 0 where it is decoupled.

    Raises:
        InputError: If a number lies outside its interval.
    """

    num_train: int
    num_classes: int
    batch_size: int
    epochs: int
    lr: float
    pretrained: bool
    num_blocks: int
    decay_momentum: float = 0.0
    deepest_share: float = 1.0
    has_batch_norm: bool = False
    has_output_bias: bool = False
    smallest_class: int = 0
    largest_class: int = 0

    def __post_init__(self) -> None:
        at_least = {"num_train": 1, "num_classes": 2, "batch_size": 1, "epochs": 1, "num_blocks": 0}
        for name, minimum in at_least.items():
            value = getattr(self, name)
            if not value >= minimum:
                raise InputError(f"`{name} >= {minimum}` must hold, but got {value!r}.")
        if not 0 < self.lr < float("inf"):
            raise InputError(f"`0 < lr < inf` must hold, but got {self.lr!r}.")
        if not 0 <= self.decay_momentum < 1:
            raise InputError(
                f"`0 <= decay_momentum < 1` must hold, but got {self.decay_momentum!r}."
            )
        if not 0 <= self.smallest_class <= self.largest_class:
            raise InputError(
                "`0 <= smallest_class <= largest_class` must hold, "
                f"but got {self.smallest_class!r} and {self.largest_class!r}."
            )
        if not 0 < self.deepest_share <= 1:
            raise InputError(f"`0 < deepest_share <= 1` must hold, but got {self.deepest_share!r}.")

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        num_train: int,
        num_classes: int,
        num_blocks: int,
        deepest_share: float = 1.0,
        has_batch_norm: bool = False,
        has_output_bias: bool = False,
        class_sizes: Sequence[int] = (),
    ) -> "Task":
        """Make the task of training ``recipe`` on a dataset of this size.

        ``class_sizes`` are the training images of each class, empty where they are not known.
        """
        sizes = [size for size in class_sizes if size > 0]
        return cls(
            num_train=num_train,
            num_classes=num_classes,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            lr=recipe.lr,
            pretrained=recipe.pretrained,
            num_blocks=num_blocks,
            decay_momentum=SGD_MOMENTUM if recipe.optimizer == "sgd" else 0.0,
            deepest_share=deepest_share,
            has_batch_norm=has_batch_norm,
            has_output_bias=has_output_bias,
            smallest_class=min(sizes, default=0),
            largest_class=max(sizes, default=0),
        )

    def resized(self, num_train: int) -> "Task":
        """Return the task with another number of images, with classes in the same proportions."""
        growth = num_train / self.num_train
        small, large = (
            max(1, round(size * growth)) if size else 0
            for size in (self.smallest_class, self.largest_class)
        )
        return replace(self, num_train=num_train, smallest_class=small, largest_class=large)

    @property
    def class_ratio(self) -> float:
        """Images of the largest class divided by those of the smallest; 1 where not known."""
        return self.largest_class / self.smallest_class if self.smallest_class else 1.0

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; a last incomplete batch is dropped, unless it is all."""
        return max(1, self.num_train // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    @property
    def decay_rate(self) -> float:
        """The share of a weight that one unit of weight decay takes in a step at the peak rate.

        Momentum sums a constant pull up to ``1 / (1 - momentum)`` times itself.
        """
        return self.lr / (1 - self.decay_momentum)

    @property
    def size_class(self) -> str:
        """``small`` (under 20k images), ``medium`` (under 500k), or ``large``."""
        if self.num_train < SMALL_BELOW:
            return "small"
        return "medium" if self.num_train < MEDIUM_BELOW else "large"

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping of ``plan.json``, with the derived numbers of steps."""
        return {
            **asdict(self),
            "steps_per_epoch": self.steps_per_epoch,
            "total_steps": self.total_steps,
            "size_class": self.size_class,
        }
