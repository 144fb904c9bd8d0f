"""SAM, sharpness-aware minimization: steps with the gradient at the worst point nearby."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainable.batch_norm import no_batch_norm_statistics
from trainable.optim.optimizer_slot import BatchPass, Criterion, OptimizerSlot
from trainable.precision import Precision

SAM_RADIUS = 0.05
"""Distance of the worst point, as a norm over all weights (Foret et al. 2021, arXiv 2010.01412)."""


class SharpnessAware(OptimizerSlot):
    """An optimizer that steps with the gradient at the worst point nearby (Foret et al. 2021).

    The way there is ``radius * g / |g|``, which the loss scale in ``g`` cancels out of: the first
    pass needs no unscaling, and the second is unscaled by `Precision.step` as for any optimizer. An
    infinite ``g`` makes the second gradient infinite too, and that step is then not taken.
    """

    def gather_gradients(
        self, batch_pass: BatchPass, criterion: Criterion, precision: Precision
    ) -> Tensor:
        """Run two passes, the second at the worst point; the weights are restored bit for bit."""
        loss = super().gather_gradients(batch_pass, criterion, precision)
        with self._at_the_worst_point_nearby(), no_batch_norm_statistics(self._model):
            self.inner.zero_grad()
            batch_pass(criterion)
        return loss

    @contextmanager
    def _at_the_worst_point_nearby(self) -> Iterator[None]:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        moved = [p.detach() for p in self.parameters() if p.grad is not None]
        # Adding and subtracting would not bring every last bit back.
        here = [weight.clone() for weight in moved]
        distance = SAM_RADIUS / (nn.utils.get_total_norm(gradients) + 1e-12)
        torch._foreach_add_(moved, list(torch._foreach_mul(gradients, distance)))
        try:
            yield
        finally:
            torch._foreach_copy_(moved, here)
