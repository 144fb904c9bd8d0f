"""The registry of all that gets a dial: strengths always, extras at the user's request.

A strength is added by a file beside this one and its name here; everything else loops over these.
Their order is that of tables and reports.
"""

from typing import TYPE_CHECKING

from spaces.errors import InputError
from spaces.strengths.class_weighting import CLASS_WEIGHTING
from spaces.strengths.cutmix_alpha import CUTMIX_ALPHA
from spaces.strengths.drop_path_rate import DROP_PATH_RATE
from spaces.strengths.ema_batch_norm import EMA_BATCH_NORM
from spaces.strengths.ema_decay import EMA_DECAY
from spaces.strengths.label_smoothing import LABEL_SMOOTHING
from spaces.strengths.layer_decay import LAYER_DECAY
from spaces.strengths.logit_adjustment import LOGIT_ADJUSTMENT
from spaces.strengths.lr import LR
from spaces.strengths.mixup_alpha import MIXUP_ALPHA
from spaces.strengths.randaugment_magnitude import RANDAUGMENT_MAGNITUDE
from spaces.strengths.strength import Strength
from spaces.strengths.warmup_fraction import WARMUP_FRACTION
from spaces.strengths.weight_decay import WEIGHT_DECAY

if TYPE_CHECKING:  # A task is made of a recipe, whose strengths are looked up here.
    from spaces.task import Task


def _by_name(*strengths: Strength) -> dict[str, Strength]:
    return {strength.name: strength for strength in strengths}


STRENGTHS = _by_name(WEIGHT_DECAY, LABEL_SMOOTHING, DROP_PATH_RATE, EMA_DECAY, WARMUP_FRACTION)
"""Strengths, by name: every search covers them, and every verdict has a dial for each."""

EXTRAS = _by_name(
    LR, MIXUP_ALPHA, CUTMIX_ALPHA, RANDAUGMENT_MAGNITUDE, LAYER_DECAY, CLASS_WEIGHTING
)
"""Extra axes, by name: a user can add them to a search with ``--set``; some join by themselves."""


def strengths_in(task: "Task") -> dict[str, Strength]:
    """Return by name what every search of a task covers: strengths, and extras that join them."""
    return STRENGTHS | {name: extra for name, extra in EXTRAS.items() if extra.joins(task)}


WITHIN_RUN = _by_name(EMA_BATCH_NORM, LOGIT_ADJUSTMENT)
"""Settings that no search proposes, by name: every run of an experiment measures two values.

Each is tried at `Strength.tried_instead` of the reference's value, and gets a dial where it acts.
"""


def known() -> dict[str, Strength]:
    """Return all strengths and extras by name: what can be searched or fixed."""
    return STRENGTHS | EXTRAS


def strength(name: str) -> Strength:
    """Look up the strength, the extra or the one of `WITHIN_RUN` with this name.

    Raises:
        InputError: If there is none.
    """
    found = STRENGTHS.get(name) or EXTRAS.get(name) or WITHIN_RUN.get(name)
    if found is None:
        raise InputError(f"Unknown axis {name!r}; known are {', '.join(known())}.")
    return found
