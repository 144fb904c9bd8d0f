"""The same recipe from timm's loader, mixing, optimizer, schedule and average."""

from pathlib import Path

import timm
import torch
from timm.data.dataset_factory import create_dataset
from timm.data.loader import create_loader
from timm.data.mixup import FastCollateMixup
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from benchmarks.steps.step_models import NUM_CLASSES
from spaces.recipe import Recipe
from trainable.models.build import describe_model


class TimmTrainer:
    """The same recipe from timm's parts, put together as its ``train.py`` does by default.

    Without ``--amp`` that script calls a plain backward pass. MixUp and CutMix draw once per batch
    there, the cheaper way and timm's default; nothing checks whether the loss is finite.

    Args:
        recipe: What to train.
        folder: With the sub-folders ``train/<class>``.
        num_workers: Processes that read images; 0 reads them in this one.
        channels_last: timm's ``--channels-last``, which is off by default.
        num_threads: Compute threads of this process.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        num_workers: int,
        channels_last: bool,
        num_threads: int,
    ) -> None:
        strengths, info = recipe.strengths, describe_model(recipe.model)
        mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
        augments = recipe.randaugment is not None
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._num_threads = num_threads
        mixing = FastCollateMixup(  # type: ignore[no-untyped-call]
            mixup_alpha=recipe.mixup_alpha,
            cutmix_alpha=recipe.cutmix_alpha,
            label_smoothing=strengths.label_smoothing,
            num_classes=NUM_CLASSES,
        )
        self._loader = create_loader(
            create_dataset("", root=str(folder), split="train", is_training=True),
            input_size=(3, recipe.image_size, recipe.image_size),
            batch_size=recipe.batch_size,
            is_training=True,
            no_aug=not augments,
            scale=(recipe.crop_scale_min, 1.0),
            hflip=recipe.hflip,
            color_jitter=0.0,
            re_prob=recipe.erasing,
            # Two operations on each image at three tenths of their range, as here.
            auto_augment="rand-m3-n2-p1-inc1" if augments else None,
            interpolation="bilinear",
            mean=info.mean,
            std=info.std,
            num_workers=num_workers,
            collate_fn=mixing if mixes else None,
            device=torch.device("cpu"),
        )
        model = timm.create_model(
            recipe.model, num_classes=NUM_CLASSES, drop_path_rate=strengths.drop_path_rate
        )
        self._model = model.to(memory_format=self._format).train()
        self._criterion: nn.Module = SoftTargetCrossEntropy()  # type: ignore[no-untyped-call]
        if not mixes:
            smoothing = strengths.label_smoothing
            self._criterion = LabelSmoothingCrossEntropy(smoothing)  # type: ignore[no-untyped-call]
        self._optimizer = create_optimizer_v2(
            self._model, opt="adamw", lr=recipe.lr, weight_decay=strengths.weight_decay
        )
        self._ema = ModelEmaV3(self._model, decay=strengths.ema_decay)
        self._schedule, _ = create_scheduler_v2(
            self._optimizer,
            sched="cosine",
            num_epochs=recipe.epochs,
            warmup_epochs=round(strengths.warmup_fraction * recipe.epochs),
            warmup_prefix=True,
            step_on_epochs=False,
            updates_per_epoch=len(self._loader),
        )
        self._clip_norm = recipe.grad_clip_norm
        self._num_updates = 0

    def train_epoch(self) -> None:
        """Train on every full batch of the folder once."""
        torch.set_num_threads(self._num_threads)
        for images, targets in self._loader:
            images = images.contiguous(memory_format=self._format)
            loss: Tensor = self._criterion(self._model(images), targets)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch: untyped
            dispatch_clip_grad(self._model.parameters(), value=self._clip_norm)
            self._optimizer.step()
            self._num_updates += 1
            self._ema.update(self._model, step=self._num_updates)
            self._schedule.step_update(num_updates=self._num_updates)
