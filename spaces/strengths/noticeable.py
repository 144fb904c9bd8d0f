"""Rules for the smallest difference of two effective values that an experiment should test."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaces.task import Task

_RATIO = math.log(1.25) - 1e-12  # The slack keeps an exact quarter noticeable.

Differs = Callable[[float, float, "Task"], bool]


def by_a_quarter(*, beside: float = 0.0) -> Differs:
    """Return the rule that ``beside`` plus the value must change by a quarter or more.

    Far below ``beside`` the rule compares differences, far above it ratios, so that a value of 0
    (off) can be compared too.
    """
    return lambda a, b, task: abs(math.log((beside + a) / (beside + b))) >= _RATIO


def by_at_least(amount: float) -> Differs:
    """Return the rule that the value must change by ``amount`` or more."""
    return lambda a, b, task: abs(a - b) >= amount - 1e-12  # The slack keeps 0.1 and 0.12 apart.
