"""The recipe as a Ray Tune trainable: one step is one epoch, one actor serves many trials."""

import base64
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from pyarrow.fs import FileType
from ray import tune

from trainable import checkpoint
from trainable.accelerator import resolve
from trainable.data.bulk_decode import num_cores
from trainable.data.datasets import Dataset
from trainable.data.decode_budget import BUDGET
from trainable.data.device_images import DeviceImages
from trainable.data.splits import thinned
from trainable.evaluation import WORST
from trainable.gpu_memory import PARTS, free_cache, in_smaller_parts
from trainable.measurement import Measured
from trainable.measuring.image_results import ImageResults
from trainable.on_test.lent_weights import write_weights
from trainable.on_test.results import OnTest
from trainable.precision import Diverged
from trainable.readback import require_arrived
from trainable.run_spec import RunSpec
from trainable.trainer import Trainer

log = logging.getLogger(__name__)


class RecipeTrainable(tune.Trainable):
    """A Ray actor that trains runs epoch by epoch; ``config["spec"]`` is a `RunSpec` as a dict.

    Each step reports ``epoch``, ``metrics`` and the ``node`` it ran on, the first one also the
    strengths read back from the live objects. It never reports ``done``: only the driver decides
    when a trial ends.
    """

    def setup(
        self,
        config: dict[str, Any],
        dataset: Dataset | None = None,
        device: str = "cpu",
        num_threads: int = 1,
        checkpoint_every_s: float = 20.0,
    ) -> None:
        """Build the trainer for the first trial of this actor."""
        # Ray starts actors with OMP_NUM_THREADS=1, independent of their number of cores.
        torch.set_num_threads(num_threads)
        BUDGET.leave(min(1.0, num_threads / num_cores()))
        self._reported = 0
        self._live: dict[str, float] = {}
        self._dataset = dataset
        self._device = resolve(device)
        # Copied to the device once, for all trials of this actor.
        self._images = DeviceImages(dataset, self._device) if dataset else None
        self._node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        self._checkpoint_every_s = checkpoint_every_s
        self._start(config)

    def _soup(self, measured: Measured) -> OnTest | None:
        """Measure the soup; there is none if its files or memory fail, for it decides nothing.

        Torch tells of memory that the CPU's allocator was refused as of any other error, so that
        this is left to the plan, which counts it.
        """
        if self._spec.soup is None:
            return None
        try:
            return self._trainer.soup_on_test(measured, self._spec.soup)
        except (OSError, MemoryError, torch.OutOfMemoryError) as error:
            log.warning("no average of weights: %s", error)
            return None

    def _lend(self, location: str) -> None:
        """Write the final weights for a soup, which is not made if they cannot be written."""
        try:
            write_weights(location, self._trainer.shipped_weights())
        except OSError as error:
            log.warning("no weights for an average: %s", error)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Build the trainer for the next trial; the process and the images stay."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, and evaluate if it is due."""
        spec = self._spec
        metrics, self._live = self._live, {}
        by_image: dict[str, str] = {}
        try:
            metrics |= self._train_epoch()
            epoch = self._trainer.epoch
            if spec.is_evaluated_after(epoch):
                tests = spec.is_tested_after(epoch)
                measured = self._trainer.measure("val", *(["test"] if tests else []))
                metrics |= measured.metrics
                if tests:
                    shipped = measured.shipped["test"]
                    by_image = _packed(shipped) | _classes(shipped)
                    if spec.recipe.strengths.ema_decay > 0.0:
                        raw = _packed(measured.raw["test"])
                        by_image |= {f"raw_{key}": text for key, text in raw.items()}
                    if spec.with_readings:
                        readings = self._trainer.readings_on_test(measured)
                        metrics |= readings.metrics
                        by_image |= _packed_by_name(readings.images)
                    if spec.with_frozen:
                        frozen = self._trainer.frozen_on_test()
                        metrics |= frozen.metrics
                        by_image |= _packed_by_name(frozen.images)
                    if soup := self._soup(measured):
                        metrics |= soup.metrics
                        by_image |= _packed_by_name(soup.images)
            if epoch == spec.recipe.epochs and spec.weights_to:
                # Before the report, so that whoever knows of its end finds them.
                self._lend(spec.weights_to)
        except Diverged as error:
            for part in ("val", "clean_train"):
                metrics |= {f"{part}/{key}": worst for key, worst in WORST.items()}
            metrics |= {"diverged": 1.0}
            epoch = self._reported + 1
            return {"epoch": epoch, "metrics": metrics, "node": self._node, "note": str(error)}
        self._reported = epoch
        # The last epoch of most trials needs no checkpoint, as its results are reported.
        is_due = time.monotonic() - self._saved_at > self._checkpoint_every_s
        is_due = spec.keep_weights if epoch == spec.recipe.epochs else is_due
        return {
            "epoch": epoch,
            "metrics": metrics,
            "by_image": by_image,
            "node": self._node,
            tune.result.SHOULD_CHECKPOINT: is_due,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the state of the run."""
        checkpoint.save(self._trainer, Path(checkpoint_dir))
        self._saved_at = time.monotonic()

    def restore(self, checkpoint_path: Any) -> None:
        """Resume after a failure; raise on Ray's other form of a checkpoint, which is a pickle."""
        checkpoint = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        with checkpoint.as_directory() as folder:
            if pickles := sorted(Path(folder).glob("*.pkl")):
                raise RuntimeError(f"A checkpoint must hold tensors only, but got {pickles[0]}.")
        super().restore(checkpoint_path)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]  # Ray: dict or path
        """Load a saved state; without a complete one, start over with the same results."""
        checkpoint.load(self._trainer, Path(checkpoint_dir))
        self._reported = self._trainer.epoch

    def _train_epoch(self) -> dict[str, float]:
        """Train an epoch; if memory is too small, start over with batches in smaller parts.

        The run then starts over, for the failed epoch has moved its weights; memory runs out in the
        first steps of a run, if at all. What was reported stays: the driver keeps the first of two
        reports of an epoch.
        """
        epoch = self._trainer.epoch + 1
        while True:
            try:
                while self._trainer.epoch < epoch:
                    metrics = self._trainer.train_epoch()
                break
            except torch.OutOfMemoryError:
                smaller = in_smaller_parts(self._trainer.recipe)
                if smaller is None:
                    raise
            # Outside of the except block, as the error keeps the memory of the failed step alive.
            del self._trainer
            free_cache(self._device)
            self._build(grad_accum_steps=smaller.grad_accum_steps)
        parts = self._trainer.recipe.grad_accum_steps
        asked = self._spec.recipe.grad_accum_steps
        return metrics | ({PARTS: float(parts)} if parts != asked else {})

    def _start(self, config: dict[str, Any]) -> None:
        self._spec = RunSpec.from_dict(config["spec"])
        self._build()
        self._reported = 0
        self._saved_at = time.monotonic()
        if self._spec.checkpoint:
            self._fetch(self._spec.checkpoint)

    def _fetch(self, location: str) -> None:
        """Load the checkpoint that an earlier session saved under a path or URI."""
        saved = tune.Checkpoint(location)
        files = saved.filesystem
        # In a run that was moved it is no longer there; the trial then starts over.
        if files and files.get_file_info(saved.path).type != FileType.NotFound:
            with saved.as_directory() as directory:
                self.load_checkpoint(directory)

    def _build(self, *, grad_accum_steps: int | None = None) -> None:
        assert self._dataset is not None
        spec, recipe = self._spec, self._spec.recipe
        split = self._dataset.split
        if spec.split_seed is not None:
            split = self._dataset.fresh_split(spec.split_seed)
        if spec.num_train is not None:
            split = thinned(
                split,
                self._dataset.labels,
                spec.num_train,
                seed=spec.split_seed or 0,
                groups=self._dataset.groups,
            )
        self._trainer = Trainer(
            replace(recipe, grad_accum_steps=grad_accum_steps or recipe.grad_accum_steps),
            self._dataset,
            split,
            device=self._device,
            ema_levels=spec.ema_levels,
            within_levels=spec.within_levels,
            images=self._images,
        )
        self._live = require_arrived(self._trainer)


def _packed(images: ImageResults) -> dict[str, str]:
    """Encode the results of each image as text, in a bit and ten bytes per image."""
    arrays = {
        "correct": np.packbits(images.correct),
        "nll": images.nll.astype("<f2"),
        **{name: values.astype("<f4") for name, values in images.contributions().items()},
    }
    return {key: base64.b64encode(array.tobytes()).decode() for key, array in arrays.items()}


def _packed_by_name(images: Mapping[str, ImageResults]) -> dict[str, str]:
    return {
        f"{name}_{key}": text
        for name, found in images.items()
        for key, text in _packed(found).items()
    }


def _classes(images: ImageResults) -> dict[str, str]:
    """Encode the true and the predicted class of each image as text, in four bytes each."""
    return {
        "label": base64.b64encode(images.label.astype("<u4").tobytes()).decode(),
        "predicted": base64.b64encode(images.predicted.astype("<u4").tobytes()).decode(),
    }
