"""The recipe as a Ray Tune trainable: one step is one epoch, one actor serves many trials."""

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune

from spaces.recipe import Recipe
from trainable import checkpoint
from trainable.datasets import Dataset
from trainable.precision import Diverged
from trainable.readback import require_arrived
from trainable.splits import resplit
from trainable.trainer import ImageResults, Trainer

WORST = {"top1": 0.0, "nll": 1e3, "nll_refined": 1e3}
"""What a diverged trial reports: finite, and worse than any trial that did not diverge."""


class RecipeTrainable(tune.Trainable):
    """Trains the recipe of ``config["spec"]`` (`search.trials.TrialSpec.to_dict`) epoch by epoch.

    Each step reports ``epoch`` and ``metrics``. It never reports ``done``: when a trial is over is
    decided in one place, on the driver.
    """

    def setup(
        self,
        config: dict[str, Any],
        dataset: Dataset | None = None,
        num_threads: int = 1,
        checkpoint_every_s: float = 20.0,
    ) -> None:
        """Build the trainer for the first trial of this actor."""
        # Ray starts actors with OMP_NUM_THREADS=1 whatever they were given.
        torch.set_num_threads(num_threads)
        self._reported = 0
        self._dataset = dataset
        self._checkpoint_every_s = checkpoint_every_s
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Build the trainer for the next trial; the process and the images stay."""
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, and evaluate if it is due."""
        spec = self.config["spec"]
        metrics: dict[str, float] = {}
        by_image: dict[str, str] = {}
        try:
            metrics |= self._trainer.train_epoch()
            epoch = self._trainer.epoch
            is_last = epoch == self._trainer.recipe.epochs
            if is_last or epoch in spec["eval_epochs"]:
                tests = is_last and spec["evaluate_on"] == "test"
                metrics |= self._trainer.evaluate("val", *(["test"] if tests else []))
                if tests:
                    by_image = _packed(self._trainer.by_image("test"))
        except Diverged as error:
            for part in ("val", "clean_train"):
                metrics |= {f"{part}/{key}": worst for key, worst in WORST.items()}
            metrics |= {"diverged": 1.0}
            return {"epoch": self._reported + 1, "metrics": metrics, "note": str(error)}
        self._reported = epoch
        # The last epoch needs none: what it leads to is reported, and the weights are not kept.
        is_due = not is_last and time.monotonic() - self._saved_at > self._checkpoint_every_s
        return {
            "epoch": epoch,
            "metrics": metrics,
            "by_image": by_image,
            tune.result.SHOULD_CHECKPOINT: is_due,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the state of the run."""
        checkpoint.save(self._trainer, Path(checkpoint_dir))
        self._saved_at = time.monotonic()

    def restore(self, checkpoint_path: Any) -> None:
        """Go on after a failure; never from Ray's other form of a checkpoint, which is a pickle."""
        checkpoint = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        with checkpoint.as_directory() as folder:
            if pickles := sorted(Path(folder).glob("*.pkl")):
                raise RuntimeError(f"A checkpoint must hold tensors only, but got {pickles[0]}.")
        super().restore(checkpoint_path)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]  # Ray: dict or path
        """Go on from a saved state."""
        checkpoint.load(self._trainer, Path(checkpoint_dir))
        self._reported = self._trainer.epoch

    def _start(self, config: dict[str, Any]) -> None:
        spec = config["spec"]
        assert self._dataset is not None
        split = self._dataset.split
        if spec["split_seed"] is not None:
            split = resplit(split, self._dataset.labels, seed=spec["split_seed"])
        self._trainer = Trainer(
            Recipe.from_dict(spec["recipe"]),
            self._dataset,
            split,
            device="cuda" if torch.cuda.is_available() else "cpu",
            ema_levels=spec["ema_levels"],
        )
        require_arrived(self._trainer)
        self._reported = 0
        self._saved_at = time.monotonic()
        # Without it, in a run that was moved say, the trial starts over: its epochs are the same.
        if config.get("checkpoint") and checkpoint.exists(Path(config["checkpoint"])):
            self.load_checkpoint(config["checkpoint"])


def _packed(images: ImageResults) -> dict[str, str]:
    """What a paired interval over images needs, as text: a bit and two bytes an image."""
    return {
        "correct": base64.b64encode(np.packbits(images.correct).tobytes()).decode(),
        "nll": base64.b64encode(images.nll.astype("<f2").tobytes()).decode(),
    }
