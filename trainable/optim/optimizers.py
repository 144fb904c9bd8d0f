"""Creation of every optimizer of a recipe, with default rates and decays.

Three of them want more than ``backward(); step()``: SAM a second pass at the worst point nearby
(`trainable.optim.sharpness_aware`), Sophia a curvature estimate now and then
(`trainable.optim.curvature_aware`), schedule-free other weights for evaluation than for training.
"""

from collections.abc import Callable

import torch
from schedulefree import AdamWScheduleFree
from timm.optim.lion import Lion
from timm.optim.muon import Muon
from torch import nn

from spaces.recipe import SGD_MOMENTUM, Recipe
from trainable.optim.curvature_aware import SOPHIA_CLIP, CurvatureAware
from trainable.optim.fused_adam import FusedAdam, FusedAdamW
from trainable.optim.optimizer_slot import OptimizerSlot
from trainable.optim.param_groups import param_groups
from trainable.optim.sharpness_aware import SharpnessAware
from trainable.optim.sophia import SophiaG

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
"""Default peak learning rate and weight decay of each optimizer."""


class ScheduleFree(OptimizerSlot):
    """Schedule-free AdamW, which evaluates an average of the trained weights at a constant rate.

    Defazio et al. 2024, arXiv 2405.15682. BatchNorm has seen the trained weights only; its
    statistics for the averaged ones have to be measured after `eval`.
    """

    uses_schedule = False
    refresh_before_eval = True
    inner: AdamWScheduleFree

    def train(self) -> None:
        """Put the weights at which gradients are taken into the model."""
        self.inner.train()

    def eval(self) -> None:
        """Put the averaged weights into the model."""
        self.inner.eval()


def create_optimizer(recipe: Recipe, model: nn.Module) -> OptimizerSlot:
    """Create the optimizer of ``recipe`` over the parameter groups of ``model``.

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
        "adamw": lambda: OptimizerSlot(FusedAdamW(groups, lr=lr), model),
        "adam": lambda: OptimizerSlot(FusedAdam(groups, lr=lr), model),
        # As published, its decay is L2 in the gradient, before momentum: each unit of it pulls
        # 1 / (1 - momentum) = 10 times as much as a unit of AdamW's.
        "sgd": lambda: OptimizerSlot(
            torch.optim.SGD(groups, lr=lr, momentum=SGD_MOMENTUM, nesterov=True, fused=True), model
        ),
        "lion": lambda: OptimizerSlot(Lion(groups, lr=lr), model),
        # Muon for matrices and flattened kernels, AdamW for vectors and the like.
        "muon": lambda: OptimizerSlot(Muon(groups, lr=lr), model),
        "sam": lambda: SharpnessAware(FusedAdamW(groups, lr=lr), model),
        "sophia": lambda: CurvatureAware(SophiaG(groups, lr=lr, clip=SOPHIA_CLIP), model),
        # Its own warmup stays off: the trainer's sets the rate, and its average weighs by the rate.
        "adamw_schedulefree": lambda: ScheduleFree(AdamWScheduleFree(groups, lr=lr), model),
    }
    return slots[recipe.optimizer]()
