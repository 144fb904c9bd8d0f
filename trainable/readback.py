"""What a run really trains with, read off its live objects instead of its configuration."""

from spaces.strengths import Strengths
from trainable.ema import OWN
from trainable.models.drop_path import read_drop_path_rate
from trainable.trainer import Trainer

LIVE = "live/"
"""Begins the metrics under which a trial reports the strengths that it found to be at work."""


def live_strengths(trainer: Trainer) -> Strengths:
    """The strengths as optimizer, criterion, model, average and schedule hold them.

    The warmup is the share of steps that lie below the first one at the peak.
    """
    total_steps = trainer.task.total_steps
    factors = [trainer.lr_factor(step) for step in range(total_steps)]
    warmup_steps = next(step for step, factor in enumerate(factors) if factor > 1.0 - 1e-9)
    return Strengths(
        weight_decay=max(group["weight_decay"] for group in trainer.optimizer.inner.param_groups),
        label_smoothing=trainer.loss.label_smoothing,
        drop_path_rate=read_drop_path_rate(trainer.model),
        ema_decay=trainer.ema.decays[OWN],
        warmup_fraction=warmup_steps / total_steps,
    )


def require_arrived(trainer: Trainer) -> dict[str, float]:
    """Refuse to train with other strengths than the recipe's.

    Returns:
        `live_strengths` as metrics, ``live/weight_decay`` and so on: what is logged of a run.

    Raises:
        RuntimeError: If a strength did not reach the object that applies it.
    """
    asked, live = trainer.recipe.strengths.as_dict(), live_strengths(trainer).as_dict()
    # A compiled run holds its smoothing in float32; warmup is a whole number of steps.
    tolerance = dict.fromkeys(asked, 1e-7) | {"warmup_fraction": 0.5 / trainer.task.total_steps}
    for name, value in asked.items():
        if abs(live[name] - value) > tolerance[name] + 1e-9:
            raise RuntimeError(
                f"`{name}` is {value!r} in the recipe, but {live[name]!r} in the run."
            )
    return {f"{LIVE}{name}": float(value) for name, value in live.items()}
