"""Reading of the strengths off a run's live objects, to check that they are applied."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from spaces.strengths.registry import known
from trainable.ema import OWN
from trainable.models.build import drop_path_rates, read_drop_path_rate, read_dropout
from trainable.trainer import Trainer

LIVE = "live/"
"""Prefix of the metrics under which a trial reports the values read back."""


def _warmup_fraction(trainer: Trainer) -> float:
    """Compute the share of steps before the first one at the peak learning rate."""
    total_steps = trainer.task.total_steps
    factors = (trainer.lr_factor(step) for step in range(total_steps))
    return next(step for step, factor in enumerate(factors) if factor > 1.0 - 1e-9) / total_steps


def _layer_decay(trainer: Trainer) -> float:
    """Compute the factor per layer from the learning rates of the head and the first layer."""
    scales = {group["name"]: group["lr_scale"] for group in trainer.optimizer.inner.param_groups}
    if len(set(scales.values())) == 1:
        return 1.0
    layers = [int(name.removeprefix("layer_").partition(".")[0]) for name in scales]
    return float(min(scales.values()) ** (1 / (max(layers) - min(layers))))


def _class_weighting(trainer: Trainer) -> float:
    """Return what the recipe asks for if the loss has just these weights, else NaN.

    Weights do not tell it well by themselves: below 0.5 they are nearly equal in any dataset.
    """
    weights, asked = trainer.loss.class_weights, trainer.recipe.class_weighting
    if weights is None:
        return 0.0
    is_asked = np.allclose(weights.cpu().numpy(), trainer.class_weights, rtol=1e-6, atol=0.0)
    return asked if is_asked and asked else math.nan


_READERS: Mapping[str, Callable[[Trainer], float]] = {
    "weight_decay": lambda t: max(g["weight_decay"] for g in t.optimizer.inner.param_groups),
    "label_smoothing": lambda t: t.loss.label_smoothing,
    "drop_path_rate": lambda t: read_drop_path_rate(t.model),
    "ema_decay": lambda t: t.ema.decays[OWN],
    "warmup_fraction": _warmup_fraction,
    "lr": lambda t: t.optimizer.inner.defaults["lr"],
    "mixup_alpha": lambda t: t.augment.recipe.mixup_alpha,
    "cutmix_alpha": lambda t: t.augment.recipe.cutmix_alpha,
    "randaugment_magnitude": lambda t: (
        t.augment.recipe.randaugment.magnitude if t.augment.recipe.randaugment else 0.0
    ),
    "layer_decay": _layer_decay,
    "class_weighting": _class_weighting,
}
"""Function that reads each strength and extra axis off the trainer's objects."""


def live_values(trainer: Trainer) -> dict[str, float]:
    """Read every strength and extra axis off the object that applies it.

    Raises:
        RuntimeError: If one of them has no reader.
    """
    if missing := known().keys() - _READERS.keys():
        raise RuntimeError(
            f"{sorted(missing)[0]} must be read back from where it is at work, but no reader says "
            "where that is."
        )
    return {name: float(_READERS[name](trainer)) for name in known()}


def require_arrived(trainer: Trainer) -> dict[str, float]:
    """Check that the run's live objects have the recipe's strengths and dropout.

    Returns:
        As metrics, ``live/weight_decay`` and so on: `live_values`; ``live/dropout``, also where the
        recipe leaves it to the architecture; and ``live/deepest_drop_path``, the rate that the
        deepest block is skipped with. This is what is logged of a run.

    Raises:
        RuntimeError: If a value did not reach the object that applies it.
    """
    live = live_values(trainer)
    # A compiled run holds its smoothing in float32; warmup is a whole number of steps.
    tolerance = dict.fromkeys(live, 1e-7) | {"warmup_fraction": 0.5 / trainer.task.total_steps}
    for name, strength in known().items():
        asked = strength.read(trainer.recipe)
        # Written as "not within" so that NaN is refused too.
        if not abs(live[name] - asked) <= tolerance[name] + 1e-9:
            raise RuntimeError(
                f"`{name}` is {asked!r} in the recipe, but {live[name]!r} in the run."
            )
    dropout = read_dropout(trainer.model, trainer.recipe.model)
    if trainer.recipe.dropout is not None and dropout != trainer.recipe.dropout:
        raise RuntimeError(
            f"`dropout` is {trainer.recipe.dropout!r} in the recipe, but {dropout!r} in the run."
        )
    deepest = (drop_path_rates(trainer.model) or [0.0])[-1]
    said = live | {"dropout": dropout, "deepest_drop_path": deepest}
    return {f"{LIVE}{name}": value for name, value in said.items()}
