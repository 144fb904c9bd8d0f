"""The optimizer slot: every optimizer of a recipe behind one face.

Three of them want more than ``backward(); step()``: SAM a second pass at the worst point nearby,
Sophia a curvature estimate now and then, schedule-free other weights for evaluation than for
training. `OptimizerSlot.gather_gradients`, `train` and `eval` are where they get it, so that a
training loop reads the same for all. The module is long so that they can be compared side by side.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_optimizer import SophiaH
from schedulefree import AdamWScheduleFree
from timm.optim.lion import Lion
from timm.optim.muon import Muon
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spaces.recipe import Recipe
from trainable.losses import cross_entropy
from trainable.param_groups import param_groups
from trainable.precision import Precision

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits (batch x K) and targets."""
BatchPass = Callable[[Criterion], Tensor]
"""One forward and backward pass over the whole batch of a step; returns the loss."""

DEFAULTS: dict[str, tuple[float, float]] = {
    # ConvNeXt, Swin and DeiT train with this decay; the rate is theirs for a batch of 1024.
    "adamw": (1e-3, 0.05),
    # L2 in the gradient, as Adam had it before AdamW: docs/weight_decay.md.
    "adam": (1e-3, 1e-4),
    # torchvision's ResNet reference at batch 256.
    "sgd": (0.1, 1e-4),
    # A sign moves every weight by the full rate: a tenth of AdamW's rate, ten times its decay
    # (Chen et al. 2023, arXiv 2302.06675, section 5).
    "lion": (1e-4, 0.5),
    # Updates have the size of AdamW's, so its rate and decay carry over (Liu et al. 2025, arXiv
    # 2502.16982, section 2.2).
    "muon": (1e-3, 0.05),
    # The step itself is AdamW's.
    "sam": (1e-3, 0.05),
    # An update is at most `SOPHIA_CLIP` times the rate: 1e-3, and lr * decay, are those of AdamW.
    "sophia": (2e-2, 2.5e-3),
    # The package's own default rate; no schedule lowers it.
    "adamw_schedulefree": (2.5e-3, 0.05),
}
"""Where to start with each optimizer: peak learning rate and weight decay."""

SAM_RADIUS = 0.05
"""How far SAM looks, as a norm over all weights (Foret et al. 2021, arXiv 2010.01412)."""
SOPHIA_CLIP = 0.05
"""Largest ratio of momentum to curvature: gamma of Sophia-G (Liu et al. 2023, arXiv 2305.14342)."""
SOPHIA_PERIOD_STEPS = 10
"""Steps from one curvature estimate to the next, as in the paper."""


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
        """Leave in the parameters the gradient that the next step is to be taken with.

        Args:
            batch_pass: Runs forward and `Precision.backward` over the step's batch with the
                criterion it is given, in as many micro-batches as it likes, without zeroing
                gradients. It may be called several times and must see the same images each time.
            criterion: The loss to train on.
            precision: What ``batch_pass`` runs its backward passes with.

        Returns:
            The loss at the weights of now.
        """
        self.inner.zero_grad()
        return batch_pass(criterion)

    def train(self) -> None:
        """Put the weights in place that training goes on from."""

    def eval(self) -> None:
        """Put the weights in place that are to be evaluated."""

    def state_dict(self) -> dict[str, Any]:
        """The torch optimizer's state, loadable with ``weights_only=True``."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        self.inner.load_state_dict(dict(state))


class SharpnessAware(OptimizerSlot):
    """Takes the step with the gradient at the worst point nearby (SAM, Foret et al. 2021).

    The way there is ``radius * g / |g|``, which the loss scale in ``g`` cancels out of: the first
    pass needs no unscaling, and the second is unscaled by `Precision.step` as for any optimizer. An
    infinite ``g`` makes the second gradient infinite too, and that step is then not taken.
    """

    def gather_gradients(
        self, batch_pass: BatchPass, criterion: Criterion, precision: Precision
    ) -> Tensor:
        """Two passes, the second at the worst point; the weights come back bit for bit."""
        loss = super().gather_gradients(batch_pass, criterion, precision)
        with self._at_the_worst_point_nearby(), _no_batch_norm_statistics(self._model):
            self.inner.zero_grad()
            batch_pass(criterion)
        return loss

    @contextmanager
    def _at_the_worst_point_nearby(self) -> Iterator[None]:
        gradients = [p.grad for p in _parameters(self.inner) if p.grad is not None]
        moved = [p.detach() for p in _parameters(self.inner) if p.grad is not None]
        # Adding and subtracting would not bring every last bit back.
        here = [weight.clone() for weight in moved]
        distance = SAM_RADIUS / (nn.utils.get_total_norm(gradients) + 1e-12)
        torch._foreach_add_(moved, list(torch._foreach_mul(gradients, distance)))
        try:
            yield
        finally:
            torch._foreach_copy_(moved, here)


class CurvatureAware(OptimizerSlot):
    """Divides by a running estimate of the Hessian's diagonal (Sophia-G, Liu et al. 2023).

    The estimate is the Gauss-Newton-Bartlett one: ``B * g * g``, where ``g`` is the gradient of the
    plain log-loss on labels drawn from the model's own predictions. Unlike Hutchinson's it needs no
    second derivative, and so runs under autocast, loss scaling and torch.compile.
    """

    inner: "_SophiaG"

    def gather_gradients(
        self, batch_pass: BatchPass, criterion: Criterion, precision: Precision
    ) -> Tensor:
        """One pass; on every `SOPHIA_PERIOD_STEPS`-th step one for the curvature before it."""
        if self.inner.num_steps % SOPHIA_PERIOD_STEPS == 0:
            self.inner.zero_grad()
            with _no_batch_norm_statistics(self._model):
                self.inner.hessian = self._estimate(batch_pass, precision)
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
        for parameter in _parameters(self.inner):
            # An estimate that overflowed, or that is missing, leaves the average as it is.
            average = self.inner.state[parameter].get("hessian_moment")
            average = torch.zeros_like(parameter) if average is None else average
            if parameter.grad is not None:
                curvature = num_images * (parameter.grad / precision.loss_scale) ** 2
                average = torch.where(torch.isfinite(curvature), curvature, average)
            estimate.append(average)
        return estimate


class ScheduleFree(OptimizerSlot):
    """Evaluates an average of the weights it trains, instead of lowering the rate.

    Defazio et al. 2024, arXiv 2405.15682. BatchNorm has seen the trained weights only; its
    statistics for the averaged ones have to be measured after `eval`.
    """

    uses_schedule = False
    refresh_before_eval = True
    inner: AdamWScheduleFree

    def train(self) -> None:
        """Put the weights in place at which gradients are taken."""
        self.inner.train()

    def eval(self) -> None:
        """Put the averaged weights in place."""
        self.inner.eval()


class _SophiaG(SophiaH):
    """Sophia with the estimate handed over in an attribute, as `GradScaler.step` passes nothing."""

    hessian: list[Tensor] | None = None

    @property
    def num_steps(self) -> int:
        return int(self.param_groups[0].get("step", 0))

    def step(self, closure: Any = None, hessian: Any = None) -> Any:
        hessian, self.hessian = self.hessian, None
        return super().step(closure, hessian=hessian)


def create_optimizer(recipe: Recipe, model: nn.Module) -> OptimizerSlot:
    """The optimizer of ``recipe`` over the parameter groups of ``model``.

    Where torch has a fused kernel it is used: on a CPU (one thread, 3.4 M parameters in 152
    tensors) AdamW takes 2.0 ms a step instead of 7.6, and on a CUDA device only fused kernels can
    leave out a step that the host does not know to be broken.
    """
    groups = param_groups(
        model,
        weight_decay=recipe.strengths.weight_decay,
        no_decay_split=recipe.no_decay_split,
        layer_decay=recipe.layer_decay,
    )
    lr = recipe.lr
    slots: dict[str, Callable[[], OptimizerSlot]] = {
        "adamw": lambda: OptimizerSlot(torch.optim.AdamW(groups, lr=lr, fused=True), model),
        "adam": lambda: OptimizerSlot(torch.optim.Adam(groups, lr=lr, fused=True), model),
        # As published, its decay is L2 in the gradient, before momentum: each unit of it pulls
        # 1 / (1 - momentum) = 10 times as much as a unit of AdamW's.
        "sgd": lambda: OptimizerSlot(
            torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True), model
        ),
        "lion": lambda: OptimizerSlot(Lion(groups, lr=lr), model),
        # Matrices and flattened kernels; AdamW for what has no two dimensions worth the name.
        "muon": lambda: OptimizerSlot(Muon(groups, lr=lr), model),
        "sam": lambda: SharpnessAware(torch.optim.AdamW(groups, lr=lr, fused=True), model),
        "sophia": lambda: CurvatureAware(
            _SophiaG(groups, lr=lr, p=SOPHIA_CLIP, update_period=SOPHIA_PERIOD_STEPS), model
        ),
        # Its own warmup stays off: the trainer's sets the rate, and its average weighs by the rate.
        "adamw_schedulefree": lambda: ScheduleFree(AdamWScheduleFree(groups, lr=lr), model),
    }
    return slots[recipe.optimizer]()


@torch.no_grad()
def refresh_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure BatchNorm statistics anew for the weights of now, everything else in eval mode.

    Unlike `torch.optim.swa_utils.update_bn`, stochastic depth and dropout stay off while it does.

    Args:
        model: Left in the modes it was in.
        batches: Normalized training images; each batch counts the same.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The plain mean over all batches, not a moving one.
        norm.train()
    try:
        for images in batches:
            model(images)
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training


@contextmanager
def _no_batch_norm_statistics(model: nn.Module) -> Iterator[None]:
    """Have BatchNorm use, but not record, the statistics of the batches inside the ``with``."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
