"""Where each strength may lie for this many images and this many steps, and why there.

Ranges in effective units (`spaces.units`), small transfer / from scratch; T is the number of
optimizer steps. A pretrained task has the ranges of transfer.

- ``weight_decay``: off, or W on a log scale in [0.02, 20] / [0.5, 60], as far as a raw value of 10
  and ``lr * weight_decay <= 1`` let it. Published: 18.8 for DeiT, ConvNeXt, Swin, RSB A1 and A2,
  12.5 for MAE's fine-tuning, 10 for RSB A3, about 0 for ConvNeXt's fine-tuning and BiT. Below 0.02
  a weight shrinks by less than 1 % over the run.
- ``ema_decay``: window / run on a log scale in [max(0.003, 1/T), 0.3]. Published: 0.107 for
  ConvNeXt, 0.067 for DeiT, 0.04 for torchvision, 0.004 for EfficientNet. A window of 1/T, one step,
  is off, so runs of up to 333 steps reach it.
- ``warmup_fraction``: off, or steps on a log scale in [max(5, T/200), max(1000, T/10)], at most
  0.3 T. Published: 100 of 500 (BiT below 20k images, AugReg's fine-tuning), 500 of 10k and of 20k
  (larger BiT), 6 255 of 375 300 (DeiT), 25 020 of 375 300 (Swin), 3 125 of 375 000 (RSB A1).
- ``drop_path_rate``: off, or linear up to 0.3 / 0.5. Published: from scratch 0.1 to 0.5 (ConvNeXt T
  to B), 0.05 (RSB A1, A2), 0 (RSB A3); fine-tuning 0.2 and 0.3 (ConvNeXt B and L), 0 (AugReg).
- ``label_smoothing``: off, or linear up to 0.2. Published: 0.1 nearly everywhere, 0 in RSB A2 and
  A3, BiT and AugReg's fine-tuning.

Sources: the recipes in `spaces.references`; MAE is He et al. 2021, arXiv 2111.06377.
"""

from spaces.axes import Axis, FixedAxis, LinearAxis, LogAxis, ZeroAxis
from spaces.errors import InputError
from spaces.task import Task
from spaces.units import EXTRA_NAMES, limits

MIN_STEPS = 10
"""Fewest optimizer steps of a run in which a warmup, a peak and an average can be told apart."""


def strength_axes(task: Task) -> dict[str, Axis]:
    """The axis of each strength, in effective units; drop path is fixed to 0 without blocks.

    Raises:
        InputError: If the run has fewer than `MIN_STEPS` steps.
    """
    steps = task.total_steps
    if steps < MIN_STEPS:
        raise InputError(
            f"`total_steps >= {MIN_STEPS}` must hold to search strengths, but {task.num_train} "
            f"images in batches of {task.batch_size} for {task.epochs} epochs make {steps}; "
            f"raise `epochs` or lower `batch_size`."
        )
    most_drop_path = 0.3 if task.pretrained else 0.5
    drop_path = ZeroAxis(LinearAxis(0.0, most_drop_path)) if task.num_blocks else FixedAxis(0.0)
    return {
        "weight_decay": _weight_decay_axis(task),
        "label_smoothing": ZeroAxis(LinearAxis(0.0, 0.2)),
        "drop_path_rate": drop_path,
        "ema_decay": LogAxis(max(0.003, 1 / steps), 0.3),
        "warmup_fraction": _warmup_axis(steps),
    }


def extra_axis(name: str, task: Task) -> Axis:
    """The axis of an extra, around published values.

    Learning rate: a decade down and half a decade up from the task's own, since too high a rate
    ruins a run and too low a one merely slows it. MixUp: 0.1 (BiT, RSB A2 and A3) to 0.8 (DeiT).
    CutMix: 1 wherever it is used. RandAugment: timm's m6 to m9 are 18 to 27 out of 30. Layer decay:
    0.7 and 0.8 in ConvNeXt's fine-tuning, 0.65 to 0.75 in MAE's.

    Raises:
        InputError: If there is no such extra.
    """
    axes: dict[str, Axis] = {
        "lr": LogAxis(task.lr / 10, task.lr * 3),
        "mixup_alpha": ZeroAxis(LogAxis(0.05, 1.0)),
        "cutmix_alpha": ZeroAxis(LogAxis(0.05, 1.0)),
        "randaugment_magnitude": ZeroAxis(LinearAxis(1.0, 30.0)),
        "layer_decay": ZeroAxis(LinearAxis(0.0, 0.4)),
    }
    if name not in axes:
        raise InputError(f"Unknown extra axis {name!r}; known are {', '.join(EXTRA_NAMES)}.")
    return axes[name]


def _weight_decay_axis(task: Task) -> ZeroAxis:
    # From scratch 0.5 and not the 2 of published runs: on 10 000 Fashion-MNIST images everything
    # from off to 6 was within noise of the best (docs/scaling.md).
    low, high, factor = (0.02, 20.0, 30.0) if task.pretrained else (0.5, 60.0, 120.0)
    high = min(high, limits("weight_decay", task)[1])
    # Short runs cannot pull as hard as published ones: what is left keeps a factor below the most
    # they can do.
    return ZeroAxis(LogAxis(min(low, high / factor), high))


def _warmup_axis(steps: int) -> ZeroAxis:
    # Below 50 steps, five would leave no range: there the low end is a tenth of the run.
    low = max(min(5.0, 0.1 * steps), 0.005 * steps)
    # Above 10k steps, a thousand would: published runs of 1e5 steps warm up for thousands.
    # Off is in the range: on 1000 Fashion-MNIST images no warmup was best (docs/scaling.md).
    return ZeroAxis(LogAxis(low, min(max(1000.0, 0.1 * steps), 0.3 * steps)))
