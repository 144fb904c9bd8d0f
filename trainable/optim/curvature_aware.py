"""Sophia, an optimizer that divides its step by a running estimate of the curvature."""

import torch
from torch import Tensor

from trainable.batch_norm import no_batch_norm_statistics
from trainable.losses import cross_entropy
from trainable.optim.optimizer_slot import BatchPass, Criterion, OptimizerSlot
from trainable.optim.sophia import SophiaG
from trainable.precision import Precision

SOPHIA_CLIP = 0.05
"""Largest ratio of momentum to curvature: gamma of Sophia-G (Liu et al. 2023, arXiv 2305.14342)."""
SOPHIA_PERIOD_STEPS = 10
"""Steps from one curvature estimate to the next, as in the paper."""


class CurvatureAware(OptimizerSlot):
    """Sophia-G (Liu et al. 2023): steps divided by an estimate of the Hessian's diagonal.

    The estimate is the Gauss-Newton-Bartlett one: ``B * g * g``, where ``g`` is the gradient of the
    plain log-loss on labels drawn from the model's own predictions. Unlike Hutchinson's it needs no
    second derivative, and so runs under autocast, loss scaling and torch.compile.
    """

    inner: SophiaG

    def gather_gradients(
        self, batch_pass: BatchPass, criterion: Criterion, precision: Precision
    ) -> Tensor:
        """Run one pass, and every `SOPHIA_PERIOD_STEPS` steps one before it for the curvature."""
        if self.inner.num_steps % SOPHIA_PERIOD_STEPS == 0:
            self.inner.zero_grad()
            with no_batch_norm_statistics(self._model):
                self.inner.curvature = self._estimate(batch_pass, precision)
        return super().gather_gradients(batch_pass, criterion, precision)

    def _estimate(self, batch_pass: BatchPass, precision: Precision) -> list[Tensor]:
        num_images = 0

        def on_own_labels(logits: Tensor, _targets: Tensor) -> Tensor:
            nonlocal num_images
            num_images += len(logits)
            with torch.no_grad():
                own = torch.multinomial(logits.float().softmax(dim=-1), 1).squeeze(-1)
            return cross_entropy(logits, own, label_smoothing=0.0)

        batch_pass(on_own_labels)
        estimate = []
        for parameter in self.parameters():
            # An estimate that overflowed or is missing must not change the average.
            average = self.inner.state[parameter].get("curvature")
            average = torch.zeros_like(parameter) if average is None else average
            if parameter.grad is not None:
                curvature = num_images * (parameter.grad / precision.loss_scale) ** 2
                average = torch.where(torch.isfinite(curvature), curvature, average)
            estimate.append(average)
        return estimate
