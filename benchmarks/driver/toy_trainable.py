"""A trial that trains nothing, so that what is left is what a search costs beside its training."""

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from ray import tune

from trainable.run_spec import RunSpec

STRENGTHS = ("weight_decay", "label_smoothing", "drop_path_rate", "ema_decay", "warmup_fraction")


class ToyTrainable(tune.Trainable):
    """The protocol of `trainable.ray_trainable.RecipeTrainable`, in microseconds an epoch."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        """Take what the real one takes."""
        self._num_test = len(given["dataset"].split.test)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._spec = RunSpec.from_dict(new_config["spec"])
        self._epoch = 0
        if self._spec.checkpoint:
            self.load_checkpoint(self._spec.checkpoint)
        return True

    def step(self) -> dict[str, Any]:
        """Report as much as a real epoch does."""
        self._epoch += 1
        is_test = self._spec.is_tested_after(self._epoch)
        metrics = {"train/loss": 1.0 / self._epoch, "cost/train_s": 0.0, "cost/eval_s": 0.0}
        if self._spec.is_evaluated_after(self._epoch):
            metrics |= self._measure("val", "clean_train", *(["test"] if is_test else []))
        by_image = {}
        if is_test:
            bits = bytes(math.ceil(self._num_test / 8))
            by_image = {"correct": _text(bits), "nll": _text(bytes(2 * self._num_test))}
        return {"epoch": self._epoch, "metrics": metrics, "by_image": by_image}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep the epoch."""
        Path(checkpoint_dir, "epoch.json").write_text(json.dumps(self._epoch))

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Go on from the epoch."""
        self._epoch = json.loads(Path(checkpoint_dir, "epoch.json").read_text())

    def _measure(self, *parts: str) -> dict[str, float]:
        strengths = self._spec.recipe.strengths.as_dict()
        levels = {"": strengths["ema_decay"], "_raw": 0.0}
        levels["_ema"] = levels[""]
        levels |= {f".{name}": decay for name, decay in self._spec.ema_levels.items()}
        values: dict[str, float] = {}
        for suffix, decay in levels.items():
            top1 = toy_top1({**strengths, "ema_decay": decay}, self._spec.recipe.seed)
            top1 *= 1.0 - math.exp(-self._epoch)
            for part in parts:
                values |= {f"{part}{suffix}/top1": top1, f"{part}{suffix}/nll": 1.0 - top1}
                values[f"{part}{suffix}/nll_refined"] = 1.0 - top1
        return values


def toy_top1(strengths: dict[str, float], seed: int) -> float:
    """Compute a toy accuracy: less for strong regularizers and long averages, plus some noise."""
    digest = hashlib.sha256(repr((seed, sorted(strengths.items()))).encode()).digest()
    luck = 0.02 * (digest[0] / 255 - 0.5)
    badness = sum(min(1.0, strengths[name]) for name in STRENGTHS[:3])
    return 0.9 / (1.0 + badness) - 0.5 * (strengths["ema_decay"] > 0.999) + luck


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
