"""Dropout of a live model: finding the layers of a recipe's rate, and reading the rate."""

from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

Place = tuple[str, str]
"""Name of a module, and its attribute that holds a dropout rate."""

_DROPOUTS = frozenset(
    {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}
)


class DropoutWatch(TorchFunctionMode):
    """A context that records the rate of every dropout that a forward pass applies.

    Attributes:
        rates: Rates above 0, of modules and of functions alike; evaluation mode has none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rates: set[float] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Record the rate if ``func`` is a dropout, and call it."""
        kwargs = kwargs or {}
        rate = 0.0
        if func in _DROPOUTS:
            _, p, training = (*args, *(None,) * 2)[:3]
            is_on = kwargs.get("training", True if training is None else training)
            rate = kwargs.get("p", 0.5 if p is None else p) if is_on else 0.0
        elif func is F.scaled_dot_product_attention:
            rate = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
        if rate > 0:
            self.rates.add(float(rate))
        return func(*args, **kwargs)


def places_of(model: nn.Module, rate: float) -> tuple[Place, ...]:
    """Find every attribute of a module with value ``rate``, which nothing else in it may equal."""
    return tuple(
        (name, attribute)
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, float) and value == rate
    )


def read_places(model: nn.Module, places: Iterable[Place]) -> float:
    """Read the dropout rate at ``places`` of the live model.

    A place that is not there holds 0: some models leave a layer out that would drop nothing.

    Raises:
        RuntimeError: If the places hold different rates.
    """
    modules = dict(model.named_modules())
    rates = {float(getattr(modules.get(name), attribute, 0.0)) for name, attribute in places}
    if len(rates) > 1:
        raise RuntimeError(
            f"All dropout of a recipe must have one rate, but got {min(rates)}..{max(rates)}."
        )
    return rates.pop() if rates else 0.0
