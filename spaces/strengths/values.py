"""The values that a recipe file holds under ``strengths``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from spaces.errors import InputError
from spaces.strengths.registry import strength


@dataclass(frozen=True, kw_only=True, slots=True)
class Strengths:
    """Raw values of the strengths, as optimizer, loss, model and EMA take them.

    Attributes:
        weight_decay: Decoupled decay of AdamW, in ``[0, inf)``; each step multiplies a decayed
            weight by ``1 - lr * weight_decay``. For ``sgd`` and ``adam`` it is L2 in the gradient.
        label_smoothing: Probability mass spread evenly over all classes, in ``[0, 1)``.
        drop_path_rate: Rate of stochastic depth that the model is given, in ``[0, 1)``: in most
            architectures the probability that the deepest residual block is skipped.
        ema_decay: Decay of the weight average per optimizer step, in ``[0, 1)``; 0 is no average.
        warmup_fraction: Share of all optimizer steps spent on linear warmup, in ``[0, 1)``.

    Raises:
        InputError: If a value is not a finite number inside its interval.
    """

    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    drop_path_rate: float = 0.0
    ema_decay: float = 0.0
    warmup_fraction: float = 0.0

    def __post_init__(self) -> None:
        for name in STRENGTH_KEYS:
            strength(name).interval.require(name, getattr(self, name))

    def as_dict(self) -> dict[str, float]:
        """Return the values by name, in the order of `STRENGTH_KEYS`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Self:
        """Make strengths from values by name; a missing one is 0 (off).

        Raises:
            InputError: If a name is unknown or a value lies outside its interval.
        """
        unknown = sorted(set(values) - set(STRENGTH_KEYS))
        if unknown:
            raise InputError(
                f"Unknown strength {unknown[0]!r}; the strengths are {', '.join(STRENGTH_KEYS)}."
            )
        return cls(**values)


STRENGTH_KEYS: tuple[str, ...] = tuple(field.name for field in fields(Strengths))
"""Keys under ``strengths`` in a recipe file."""
