"""What a raw strength amounts to in a run of this length, and back.

A raw value means nothing without the length of the run: ``ema_decay=0.9999`` remembers 10 000
steps, which is 3 % of a DeiT run and 74 times a run on 300 images. Effective units say the same for
every length, so spaces are built, searched and moved between dataset sizes in them. T below is the
number of optimizer steps.

- ``weight_decay``: total pull W = lr * wd * T. Linear warmup and cosine decay both average half the
  peak, so decay alone multiplies a weight by exp(-W / 2) over the run. Its optimum is about
  constant over data size (Wang & Aitchison 2024, arXiv 2405.13698). The decay of ``sgd`` is L2
  before momentum m, so lr stands for lr / (1 - m) there (`Task.decay_rate`). ``adam``, which
  divides its L2 by the size of the gradient, has no such unit; the number is nominal.
- ``ema_decay``: window as a share of the run, f = 1 / ((1 - d) T). What is left of the initial
  weights in the average is d ** T, about exp(-1 / f) (Busbridge et al. 2023, arXiv 2307.13813).
- ``warmup_fraction``: warmup steps.
- ``drop_path_rate``, ``label_smoothing``, learning rate, MixUp, CutMix, RandAugment: as they are.
- ``layer_decay``: learning rate lost per block towards the input, so that 0 is off here too.
"""

import math

from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths import STRENGTH_NAMES, Strengths
from spaces.task import Task

EXTRA_NAMES = ("lr", "mixup_alpha", "cutmix_alpha", "randaugment_magnitude", "layer_decay")
"""What a user can have searched beside the strengths; ``lr`` is a nuisance: it gets no dial."""

EFFECTIVE_UNITS = {
    "weight_decay": "total pull lr*wd*T",
    "label_smoothing": "probability mass moved",
    "drop_path_rate": "rate of the deepest block",
    "ema_decay": "window / run",
    "warmup_fraction": "warmup steps",
    "lr": "peak learning rate",
    "mixup_alpha": "Beta parameter",
    "cutmix_alpha": "Beta parameter",
    "randaugment_magnitude": "magnitude out of 30",
    "layer_decay": "learning rate lost per block",
}

MAX_WEIGHT_DECAY = 10.0
"""Largest raw weight decay; every published one for AdamW lies below 1."""
LONGEST_WINDOW = 1 / 3
"""Longest EMA window as a share of the run: exp(-3), 5 % of the average, is initial weights."""
LONGEST_WARMUP = 0.5
"""Longest warmup as a share of the run; AugReg's fine-tuning, the longest published, has 0.2."""

_WAY_OUT = {
    "weight_decay": "ask for less, or raise `epochs` or `lr`",
    "ema_decay": "ask for a shorter window, or raise `epochs`",
    "warmup_fraction": "ask for a shorter warmup, or raise `epochs`",
}


def to_effective(name: str, raw: float, task: Task) -> float:
    """The effective value of a raw one; rises with it, except that ``layer_decay`` falls.

    Any raw value that a recipe may hold is converted, however little sense it makes here: plans
    show the reference in effective units too. An ``ema_decay`` of 0 (off) is a window of one step.

    Raises:
        InputError: If the name is unknown or a recipe may not hold the value.
    """
    _check_raw(name, raw)
    if name == "weight_decay":
        return task.decay_rate * raw * task.total_steps
    if name == "ema_decay":
        return 1 / ((1 - raw) * task.total_steps)
    if name == "warmup_fraction":
        return raw * task.total_steps
    return 1 - raw if name == "layer_decay" else raw


def to_raw(name: str, effective: float, task: Task) -> float:
    """The raw value of an effective one: the inverse of `to_effective` within `limits`.

    The magnitude of RandAugment is rounded to an integer, as a recipe wants it.

    Raises:
        InputError: If the name is unknown, or the value is more than a run of this length can carry
            out (a window or a warmup longer than the run, a weight decay above 10).
    """
    low, high = limits(name, task)
    # The slack lets an end of the interval come back from its own raw value.
    if not low * (1 - 1e-8) <= effective <= high * (1 + 1e-8):
        interval = f"{plain(low)} <= {EFFECTIVE_UNITS[name]} <= {plain(high)}"
        way_out = f"; {_WAY_OUT[name]}" if name in _WAY_OUT else ""
        raise InputError(
            f"`{interval}` must hold for {name} in a run of {task.total_steps} steps, "
            f"but got {effective!r}{way_out}."
        )
    effective = min(max(effective, low), high)
    if name == "weight_decay":
        return min(effective / (task.decay_rate * task.total_steps), MAX_WEIGHT_DECAY)
    if name == "ema_decay":
        window_steps = effective * task.total_steps
        # Exactly 0 for a window of one step: "almost off" would still keep a copy of the weights.
        return 1 - 1 / window_steps if window_steps > 1 + 1e-12 else 0.0
    if name == "warmup_fraction":
        return effective / task.total_steps
    if name == "randaugment_magnitude":
        return float(round(effective))
    return 1 - effective if name == "layer_decay" else effective


def limits(name: str, task: Task) -> tuple[float, float]:
    """The smallest and largest effective value, both included, that this run can carry out.

    Raises:
        InputError: If the name is unknown.
    """
    steps = task.total_steps
    if name == "weight_decay":
        # Above lr * wd = 1 a step would not shrink a weight but turn its sign.
        return 0.0, min(MAX_WEIGHT_DECAY * task.decay_rate, 1.0) * steps
    known = {
        "label_smoothing": (0.0, 0.9),
        "drop_path_rate": (0.0, 0.95),  # ConvNeXt-L at 384 px, the highest published.
        "ema_decay": (1 / steps, max(LONGEST_WINDOW, 1 / steps)),
        "warmup_fraction": (0.0, LONGEST_WARMUP * steps),
        "lr": (1e-12, 1e3),
        "mixup_alpha": (0.0, 1e3),  # Beyond, every mix is one half of each image anyway.
        "cutmix_alpha": (0.0, 1e3),
        "randaugment_magnitude": (0.0, 30.0),
        "layer_decay": (0.0, 0.99),
    }
    if name not in known:
        raise InputError(f"Unknown axis {name!r}; known are {', '.join(EFFECTIVE_UNITS)}.")
    return known[name]


def describe(name: str, raw: float, task: Task) -> str:
    """A remark where a raw value makes no sense in this run, else an empty text.

    Raises:
        InputError: If the name is unknown or a recipe may not hold the value.
    """
    effective = to_effective(name, raw, task)
    if raw == 0:
        return ""  # Off is always a sensible value.
    steps = task.total_steps
    value = f"{name} {raw:.6g}"
    if name == "weight_decay":
        if task.decay_rate * raw > 1:
            return f"{value} at learning rate {task.lr:g} turns the sign of a weight in each step"
        if effective < 0.02:
            shrink = 100 * -math.expm1(-effective / 2)
            return f"{value} shrinks a weight by {shrink:.2g} % in {steps} steps: as good as off"
        if effective > 100:
            return f"{value} leaves exp(-{effective / 2:.0f}) of a weight that no gradient feeds"
    if name == "ema_decay":
        window_steps, initial = effective * steps, 100 * raw**steps
        if effective > LONGEST_WINDOW:
            return (
                f"{value} remembers {window_steps:.0f} steps; this run has {steps}: "
                f"the average would still be {initial:.0f} % initial weights"
            )
        if window_steps < 2:
            return f"{value} averages {window_steps:.1f} steps: as good as off"
    if name == "warmup_fraction":
        if effective < 1:
            return f"{value} is less than one of {steps} steps: as good as off"
        if raw > 0.3:
            return f"{value} keeps {raw:.0%} of the run below its peak learning rate"
    if name == "drop_path_rate":
        if task.num_blocks == 0:
            return f"{value} does nothing: this model has no residual block to skip"
        if raw > 0.5:
            return f"{value} skips the deepest block in {raw:.0%} of the steps"
    if name == "label_smoothing" and raw > 0.3:
        return f"{value} moves {raw:.0%} of the probability away from the label"
    return ""


def plain(value: float) -> str:
    """A number as a person writes it: three digits, and large ones without an exponent."""
    return f"{value:.0f}" if 1000 <= value < 1e15 else f"{value:.3g}"


def _check_raw(name: str, raw: float) -> None:
    if name in STRENGTH_NAMES:
        Strengths(**{name: raw})
    elif name == "randaugment_magnitude":
        if not 0 <= raw <= 30:
            raise InputError(f"`0 <= {name} <= 30` must hold, but got {raw!r}.")
    elif name in EXTRA_NAMES:
        Recipe.from_dict({name: raw})
    else:
        raise InputError(f"Unknown axis {name!r}; known are {', '.join(EFFECTIVE_UNITS)}.")
