"""Forward pass and loss of a batch, eager or as one compiled graph that all trials share."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from trainable.losses import cross_entropy
from trainable.optim.optimizer_slot import Criterion


class ForwardLoss:
    """A function that computes the training loss of a batch.

    Compiled, no strength is a constant of the graph: label smoothing and the rates of stochastic
    depth are tensors that the graph reads, weight decay and the learning rate go to the optimizer's
    own fused kernel as arguments, and so do the decays of the averages. Torch keeps compiled code
    by the function that it was made from, and models of one architecture look alike to it: the
    first trial of a process compiles, the others run what it compiled.

    Args:
        model: What to run.
        label_smoothing: Of the criterion, in ``[0, 1)``.
        class_weights: Weight of each class on the model's device, or None for none. Runs with and
            without are two graphs.
        device: Where the model is.
        compile: Whether to go through `torch.compile`.

    Attributes:
        criterion: Cross-entropy with this smoothing and these weights.
    """

    def __init__(
        self,
        model: nn.Module,
        label_smoothing: float,
        device: torch.device,
        *,
        compile: bool,
        class_weights: Tensor | None = None,
    ) -> None:
        self._model = model
        # On a CPU in eager mode a plain number: reading a tensor would round it to float32.
        smoothing = torch.tensor(label_smoothing, device=device) if compile else label_smoothing
        self.criterion = partial(
            cross_entropy, label_smoothing=smoothing, class_weights=class_weights
        )
        self._forward: Callable[[Tensor], Tensor] = torch.compile(model) if compile else model
        self._whole = torch.compile(_forward_and_loss) if compile else _forward_and_loss

    @property
    def label_smoothing(self) -> float:
        """Label smoothing of the criterion."""
        return float(self.criterion.keywords["label_smoothing"])

    @property
    def class_weights(self) -> Tensor | None:
        """Class weights of the criterion."""
        found: Tensor | None = self.criterion.keywords["class_weights"]
        return found

    def __call__(self, criterion: Criterion, images: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean loss of a batch.

        Args:
            criterion: The one above, or an optimizer's own, which is then not part of the graph.
            images: The model's input.
            targets: What the criterion takes.
        """
        if criterion is self.criterion:
            return self._whole(self._model, self.criterion, images, targets)
        return criterion(self._forward(images), targets)


def _forward_and_loss(
    model: nn.Module, criterion: Criterion, images: Tensor, targets: Tensor
) -> Tensor:
    return criterion(model(images), targets)
