"""The interface between the training loop and any optimizer of a recipe.

`OptimizerSlot.gather_gradients`, `train` and `eval` are where an optimizer that wants more than
``backward(); step()`` gets it: a second pass, a curvature estimate, other weights for evaluation.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainable.precision import Precision

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits (batch x K) and targets."""
BatchPass = Callable[[Criterion], Tensor]
"""One forward and backward pass over the whole batch of a step; returns the loss."""


class OptimizerSlot:
    """An optimizer that needs one pass per step and the same weights everywhere.

    Attributes:
        inner: The torch optimizer; what `trainable.precision.Precision.step` steps.
        uses_schedule: Whether the learning rate decays; if not, it warms up and stays.
        refresh_before_eval: Whether BatchNorm statistics belong to other weights than those of
            `eval`, so that `refresh_batch_norm` must run in between.
    """

    uses_schedule = True
    refresh_before_eval = False

    def __init__(self, inner: torch.optim.Optimizer, model: nn.Module) -> None:
        self.inner = inner
        self._model = model

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next step, each group's times its ``lr_scale``."""
        for group in self.inner.param_groups:
            group["lr"] = lr * group["lr_scale"]

    def gather_gradients(
        self, batch_pass: BatchPass, criterion: Criterion, precision: Precision
    ) -> Tensor:
        """Compute the gradient of the next step and leave it in the parameters.

        Args:
            batch_pass: Runs forward and `Precision.backward` over the step's batch with the
                criterion it is given, in as many micro-batches as it likes, without zeroing
                gradients. It may be called several times and must see the same images each time.
            criterion: The loss to train on.
            precision: What ``batch_pass`` runs its backward passes with.

        Returns:
            The loss at the weights of now.
        """
        for parameter in self.parameters():  # A third of what `zero_grad` takes.
            parameter.grad = None
        return batch_pass(criterion)

    def train(self) -> None:
        """Put the weights for training into the model."""

    def eval(self) -> None:
        """Put the weights for evaluation into the model."""

    def parameters(self) -> list[nn.Parameter]:
        """Return all parameters that the optimizer updates."""
        return [p for group in self.inner.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """Return the torch optimizer's state, loadable with ``weights_only=True``."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state of `state_dict`."""
        self.inner.load_state_dict(dict(state))
