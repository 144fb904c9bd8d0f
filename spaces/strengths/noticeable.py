"""From which difference on two effective values are worth telling apart by an experiment."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spaces.task import Task

_RATIO = math.log(1.25) - 1e-12  # The slack keeps an exact quarter noticeable.

Differs = Callable[[float, float, "Task"], bool]


def by_a_quarter(*, beside: float = 0.0) -> Differs:
    """Whether ``beside`` plus the value moves by a quarter or more.

    Below ``beside`` that is about a difference, above it about a ratio, so that off can be compared
    with a value.
    """
    return lambda a, b, task: abs(math.log((beside + a) / (beside + b))) >= _RATIO


def by_at_least(amount: float) -> Differs:
    """Whether the value moves by ``amount`` or more."""
    return lambda a, b, task: abs(a - b) >= amount - 1e-12  # The slack keeps 0.1 and 0.12 apart.
