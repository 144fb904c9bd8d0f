"""One run of one recipe: train an epoch, evaluate, save, go on.

Read `Trainer.train_epoch` and `Trainer._step` from top to bottom: they are the recipe.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.recipe import Recipe
from spaces.seeds import drawn_seed
from spaces.task import Task
from trainable.accelerator import resolve
from trainable.augment.batch_augment import Augment, Normalizer
from trainable.batch_norm import batch_norm_statistics, refresh_batch_norm
from trainable.calibration import NonFiniteError
from trainable.data.datasets import Dataset
from trainable.data.device_images import DeviceImages
from trainable.data.splits import Split
from trainable.ema import OWN, EmaBank
from trainable.forward_loss import ForwardLoss
from trainable.losses import class_weights
from trainable.measurement import Measured, Measurement
from trainable.measuring.class_prior import log_prior
from trainable.measuring.measured_with import MeasuredWith
from trainable.models.build import create_model, describe_model
from trainable.models.freezing import keep_frozen_statistics
from trainable.models.saved_model import shipped_weights
from trainable.on_test.results import OnTest, frozen_on_test, readings_on_test
from trainable.on_test.soup import soup_on_test
from trainable.optim.optimizer_slot import Criterion
from trainable.optim.optimizers import create_optimizer
from trainable.optim.schedule import lr_factor, warmup_steps_of
from trainable.precision import Diverged, Precision, resolve_amp_dtype
from trainable.run_spec import Soup
from trainable.speed.convolutions import use_fast_kernels
from trainable.speed.memory import keep_freed_memory

ASK_EVERY_STEPS = 200
"""Number of steps between two checks for divergence on an accelerator.

Each check waits for the device, which is then idle while the host prepares the next step.
"""


class Trainer:
    """One run: its model, optimizer, averages and data, with methods that train and evaluate.

    Everything random derives from ``recipe.seed``: initial weights, batch order, augmentation and
    stochastic depth. Two runs with the same seed and split differ only in their strengths.

    Args:
        recipe: What to train.
        dataset: Images and labels.
        split: Which of them to train and evaluate on.
        device: Where to train.
        ema_levels: Decays of further averages to carry, by level name.
        within_levels: Raw values with which an average is measured once more after the last epoch,
            by level name ``<average>.<factor>``.
        images: The images of ``dataset`` on ``device``, where an earlier trial has put them there;
            None puts them there.

    Attributes:
        epoch: Epochs trained so far.
        class_weights: Weight of each class in the training loss that the recipe asks for.
        log_prior: Logarithm of each class's share of the training images.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        split: Split,
        *,
        device: torch.device | str = "cpu",
        ema_levels: Mapping[str, float] | None = None,
        within_levels: Mapping[str, float] | None = None,
        images: DeviceImages | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = resolve(device)
        self._split = split
        self._images = images or DeviceImages(dataset, self.device)
        num_classes = len(dataset.class_names)
        self._num_classes = num_classes
        class_sizes = np.bincount(dataset.labels[split.train], minlength=num_classes)
        torch.manual_seed(recipe.seed)
        info = describe_model(recipe.model)
        self.task = Task.of(
            recipe,
            num_train=len(split.train),
            num_classes=num_classes,
            num_blocks=info.num_blocks,
            deepest_share=info.deepest_share,
            has_batch_norm=info.has_batch_norm,
            has_output_bias=info.has_output_bias,
            class_sizes=class_sizes.tolist(),
        )
        self.model = create_model(recipe, num_classes=num_classes).to(self.device)
        self.model = self.model.to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            keep_freed_memory()
            use_fast_kernels(self.model)
        self.class_weights = class_weights(class_sizes, recipe.class_weighting)
        self.log_prior = log_prior(class_sizes)
        self.loss = ForwardLoss(
            self.model,
            recipe.strengths.label_smoothing,
            self.device,
            compile=recipe.compile,
            class_weights=None
            if recipe.class_weighting == 0
            else torch.from_numpy(self.class_weights).float().to(self.device),
        )
        self._normalize = Normalizer(info.mean, info.std, self.device)
        self.optimizer = create_optimizer(recipe, self.model)
        self.precision = Precision(resolve_amp_dtype(recipe.amp_dtype, self.device), self.device)
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]
        own = {OWN: recipe.strengths.ema_decay}
        self.ema = EmaBank(self.model, own | dict(ema_levels or {}))
        self._augment_generator = torch.Generator()
        self.augment = Augment(recipe, self._augment_generator, erase_value=info.mean)
        self._warmup_steps = warmup_steps_of(
            recipe.strengths.warmup_fraction, self.task.total_steps
        )
        # While the model holds statistics that were measured for an evaluation: those of training.
        self._statistics: dict[str, Tensor] = {}
        self.epoch = 0
        self._measurement = Measurement(
            self.model,
            self.ema,
            self.precision,
            images=self._images,
            labels=torch.from_numpy(np.array(dataset.labels)),
            split=split,
            normalize=self._normalize,
            seed=recipe.seed,
            how=MeasuredWith.of(recipe),
            within_levels={
                level: MeasuredWith.at(recipe, level, value)
                for level, value in (within_levels or {}).items()
            },
            log_prior=self.log_prior,
        )

    def batch(self) -> Tensor:
        """Return the first training batch, augmented and normalized, for timing."""
        return self._augmented(self._split.train[: self.recipe.batch_size])[0]

    def train_epoch(self) -> dict[str, float]:
        """Train on every training image once, in a fresh order.

        Returns:
            ``train/loss``, what the optimizer saw on average, ``cost/train_s``, and in float16
            ``train/skipped_steps``, those that the loss scaler left out.

        Raises:
            Diverged: If a loss or gradient is not finite, before it reaches the weights.
        """
        started = time.perf_counter()
        self.model.train()
        keep_frozen_statistics(self.model)
        self.optimizer.train()
        # The averages follow the statistics too, and must not depend on when somebody looked.
        self.model.load_state_dict(self._statistics, strict=False)
        self._statistics = {}
        batch_size = min(self.recipe.batch_size, len(self._split.train))
        # Drawn anew for each epoch from seed and epoch alone, so that a checkpoint needs to hold no
        # generator and runs with one seed see the same noise after any other run in the process.
        epoch_seed = drawn_seed(self.recipe.seed, self.epoch)
        torch.manual_seed(epoch_seed)
        self._augment_generator.manual_seed(epoch_seed)
        order = np.random.default_rng(epoch_seed).permutation(self._split.train)
        loss_sum = torch.zeros((), device=self.device)
        steps_before, skipped_before = self.precision.num_steps, self.precision.num_skipped
        for i in range(self.task.steps_per_epoch):
            batch = order[i * batch_size : (i + 1) * batch_size]
            loss_sum += self._step(batch)
            if (i + 1) % ASK_EVERY_STEPS == 0:
                self.precision.raise_if_diverged()
        self.precision.raise_if_diverged()
        self.epoch += 1
        metrics = {
            "train/loss": float(loss_sum) / max(1, self.precision.num_steps - steps_before),
            "cost/train_s": time.perf_counter() - started,
        }
        if self.precision.amp_dtype is torch.float16:
            metrics["train/skipped_steps"] = float(self.precision.num_skipped - skipped_before)
        return metrics

    def _step(self, batch: NDArray[np.int64]) -> Tensor:
        """Take one optimizer step; return its loss, 0 if the scaler skipped it."""
        self.optimizer.set_lr(self.recipe.lr * self.lr_factor(self.precision.num_steps))
        # Augmented once and whole: an optimizer with a second pass must see the same images in it,
        # and the number of parts in which a batch is trained must not change its images.
        images, targets = self._augmented(batch)
        pieces = self.recipe.grad_accum_steps
        micro_batches = list(
            zip(images.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
        )

        def batch_pass(criterion: Criterion) -> Tensor:
            loss = torch.zeros((), device=self.device)
            for images, targets in micro_batches:
                with self.precision.autocast():
                    part = self.loss(criterion, images, targets) * (len(images) / len(batch))
                self.precision.backward(part)
                loss += part.detach()
            return loss

        loss = self.optimizer.gather_gradients(batch_pass, self.loss.criterion, self.precision)
        result = self.precision.step(
            self.optimizer.inner, self._parameters, self.recipe.grad_clip_norm
        )
        if not result.stepped:  # A skipped step moves neither schedule nor averages.
            return torch.zeros_like(loss)
        self.ema.update(self.model)
        return loss

    def lr_factor(self, step: int) -> float:
        """Compute the factor on the peak learning rate of optimizer step ``step``."""
        return lr_factor(
            step,
            schedule=self.recipe.schedule if self.optimizer.uses_schedule else "constant",
            total_steps=self.task.total_steps,
            warmup_steps=self._warmup_steps,
            min_factor=self.recipe.min_lr / self.recipe.lr,
        )

    def _augmented(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        images, targets = self.augment(*self._images.batch(indices), self._num_classes)
        return self._normalize(images), targets

    def evaluate(self, *parts: str) -> dict[str, float]:
        """Compute the metrics of `measure`."""
        return self.measure(*parts).metrics

    def measure(self, *parts: str) -> Measured:
        """Evaluate raw weights, the recipe's own average and every level on clean images.

        Args:
            parts: ``val``, ``test`` or both: parts of the split to measure on, beside the clean
                slice of the training images.

        Returns:
            Results for each image of the parts, and metrics: ``<part>/...`` and ``clean_train/...``
            for the weights that the recipe ships, ``_ema`` for its average, ``.<level>`` for each
            level, ``<part>_raw/...`` for the raw weights, and ``cost/eval_s``: `quick_metrics` of
            each, and after the last epoch `full_metrics`. Statistics of BatchNorm that the recipe
            wants measured for its average are then left in the average, which is what ships.

        Raises:
            Diverged: If the model's output is not finite.
        """
        started = time.perf_counter()
        self.optimizer.eval()
        if self.optimizer.refresh_before_eval:
            self._statistics = self._statistics or batch_norm_statistics(self.model)
            refresh_batch_norm(self.model, self._measurement.clean_batches())
        measured = self._measurement.measure(parts, in_full=self.epoch >= self.recipe.epochs)
        cost = {"cost/eval_s": time.perf_counter() - started}
        return replace(measured, metrics=measured.metrics | cost)

    def frozen_on_test(self) -> OnTest:
        """Measure the baselines without fine-tuning, which a pretrained recipe has."""
        return frozen_on_test(
            self._measurement, self.recipe, num_classes=self._num_classes, device=self.device
        )

    def readings_on_test(self, measured: Measured) -> OnTest:
        """Measure other ways of using the trained model, which change nothing in it.

        Args:
            measured: Result of `measure` on validation and test images, at the end of training.

        Raises:
            Diverged: If the model's output for mirrored images is not finite.
        """
        try:
            return readings_on_test(self._measurement, measured)
        except NonFiniteError as error:
            raise Diverged(self.precision.num_steps, str(error)) from error

    def soup_on_test(self, measured: Measured, soup: Soup) -> OnTest | None:
        """Measure an average with the weights of other runs, which changes nothing in the model.

        Args:
            measured: Result of `measure` on validation and test images, at the end of training.
            soup: The other runs.

        Returns:
            See `trainable.on_test.soup.soup_on_test`.
        """
        return soup_on_test(
            self._measurement,
            measured,
            self.shipped_weights(),
            soup,
            recipe=self.recipe,
            num_classes=self._num_classes,
            device=self.device,
        )

    def shipped_weights(self) -> dict[str, Tensor]:
        """Return copies of the weights that ship, on the CPU, to be asked for after `measure`."""
        return shipped_weights(
            self.model,
            self.ema,
            logit_adjustment=self.recipe.logit_adjustment,
            log_prior=self.log_prior,
        )

    def by_class(self, part: str, name: str = OWN) -> list[float]:
        """Compute the accuracy per class on a part of the split, NaN for a class without images.

        Args:
            part: ``val`` or ``test``.
            name: Of an average; ``raw`` for the raw weights.
        """
        return self._measurement.by_class(part, name)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for resuming bit for bit; loadable with ``weights_only=True``."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "statistics": self._statistics,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "ema": self.ema.state_dict(),
            "log_prior": self.log_prior,  # Not loaded: whoever saves the model may lack the images.
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state of `state_dict` made with the same recipe, data and split."""
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self._statistics = dict(state["statistics"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        self.ema.load_state_dict(state["ema"])
