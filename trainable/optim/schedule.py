"""The learning rate of every optimizer step, as a pure function of the step number.

Convention: steps are counted from 0, and `lr_factor` of step ``t`` is the factor on the peak rate
that step ``t`` itself is taken with. With ``W`` warmup steps the factors are

    1/(W+1), 2/(W+1), ..., W/(W+1), 1, ...

so ``W`` steps lie below the peak, step ``W`` is the first one at it, and no step is wasted at a
rate of 0, neither the first nor the last. The whole sequence of the cosine equals

* torch: ``SequentialLR([LinearLR(1/(W+1), total_iters=W), CosineAnnealingLR(T-W)], [W])``,
* timm: ``CosineLRScheduler(t_initial=T-W, warmup_t=W, warmup_lr_init=lr/(W+1),
  warmup_prefix=True, t_in_epochs=False)`` with ``step_update(t)`` called after update ``t``.

timm's own default, ``warmup_lr_init=0``, would take the first step with a rate of exactly 0.

Being stateless, a schedule needs no checkpoint beyond the step number, and a step that the loss
scaler skipped simply asks for the same number again.
"""

import math

from spaces.errors import InputError
from spaces.recipe import SCHEDULES

ONE_CYCLE_START = 1 / 25
"""First factor of one-cycle: ``1 / div_factor`` of torch's ``OneCycleLR``."""
ONE_CYCLE_FLOOR = ONE_CYCLE_START / 1e4
"""Smallest last factor of one-cycle: ``1 / (div_factor * final_div_factor)`` of torch."""
WSD_DECAY_FRACTION = 0.2
"""Share of all steps in the cooldown of warmup-stable-decay (Hägele et al. 2024)."""


def warmup_steps_of(warmup_fraction: float, total_steps: int) -> int:
    """Round ``warmup_fraction * total_steps`` to steps, leaving at least one after the warmup."""
    return min(round(warmup_fraction * total_steps), total_steps - 1)


def lr_factor(
    step: int, *, schedule: str, total_steps: int, warmup_steps: int, min_factor: float = 0.0
) -> float:
    """Compute the factor on the peak learning rate of optimizer step number ``step``.

    Every schedule reaches the peak, 1, at step ``warmup_steps``. After it:

    * ``cosine``: half a cosine towards ``min_factor``, which step ``total_steps`` would reach
      (Loshchilov & Hutter 2017, arXiv 1608.03983).
    * ``one_cycle``: a cosine from 1/25 up instead of the line, then one down to ``min_factor`` (at
      least 4e-6) at the last step: torch's ``OneCycleLR(pct_start=(warmup_steps + 1) / total_steps,
      cycle_momentum=False)`` (Smith & Topin 2018, arXiv 1708.07120).
    * ``constant``: 1.
    * ``wsd``: 1, then ``1 - sqrt`` towards ``min_factor`` over the last fifth of all steps
      (Hägele et al. 2024, arXiv 2405.18392).

    Args:
        step: Optimizer steps taken so far, in ``[0, total_steps)``.
        schedule: One of `spaces.recipe.SCHEDULES`.
        total_steps: Optimizer steps of the whole run, at least 1.
        warmup_steps: Steps below the peak, in ``[0, total_steps)``.
        min_factor: Last factor as a share of the peak, in ``[0, 1]``.

    Raises:
        InputError: If a number lies outside its interval or the schedule is unknown.
    """
    if not 0 <= warmup_steps < total_steps:
        raise InputError(
            "`0 <= warmup_steps < total_steps` must hold, "
            f"but got {warmup_steps=} and {total_steps=}."
        )
    if not 0 <= step < total_steps:
        raise InputError(f"`0 <= step < {total_steps}` must hold, but got {step=}.")
    if not 0.0 <= min_factor <= 1.0:
        raise InputError(f"`0 <= min_factor <= 1` must hold, but got {min_factor=}.")
    if schedule not in SCHEDULES:
        raise InputError(f"`schedule` must be one of {', '.join(SCHEDULES)}, got {schedule!r}.")

    if step < warmup_steps:
        if schedule == "one_cycle":
            return _half_cosine(ONE_CYCLE_START, 1.0, step / warmup_steps)
        return (step + 1) / (warmup_steps + 1)

    steps_down, steps_since_peak = total_steps - warmup_steps, step - warmup_steps
    if schedule == "cosine":
        return _half_cosine(1.0, min_factor, steps_since_peak / steps_down)
    if schedule == "one_cycle":
        # Fenced like torch's: the last step sits at the floor itself, one step earlier than cosine.
        share = steps_since_peak / max(1, steps_down - 1)
        return _half_cosine(1.0, max(min_factor, ONE_CYCLE_FLOOR), share)
    if schedule == "wsd":
        cooldown_steps = min(round(WSD_DECAY_FRACTION * total_steps), steps_down)
        into_cooldown = step - (total_steps - cooldown_steps)
        if into_cooldown > 0:
            return 1.0 - (1.0 - min_factor) * math.sqrt(into_cooldown / cooldown_steps)
    return 1.0


def _half_cosine(start: float, end: float, share: float) -> float:
    """Evaluate a half cosine from ``start`` to ``end`` after ``share`` of its length."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))
