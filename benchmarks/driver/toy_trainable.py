"""A trial that trains nothing, so that what is left is what a search costs beside its training."""

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from ray import tune

STRENGTHS = ("weight_decay", "label_smoothing", "drop_path_rate", "ema_decay", "warmup_fraction")


class ToyTrainable(tune.Trainable):
    """The protocol of `trainable.ray_trainable.RecipeTrainable`, in microseconds an epoch."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        """Take what the real one takes."""
        self._num_test = len(given["dataset"].split.test)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._spec = new_config["spec"]
        self._epoch = 0
        if new_config.get("checkpoint"):
            self.load_checkpoint(new_config["checkpoint"])
        return True

    def step(self) -> dict[str, Any]:
        """Report as much as a real epoch does."""
        self._epoch += 1
        is_last = self._epoch == self._spec["recipe"]["epochs"]
        is_test = is_last and self._spec["evaluate_on"] == "test"
        metrics = {"train/loss": 1.0 / self._epoch, "cost/train_s": 0.0, "cost/eval_s": 0.0}
        if is_last or self._epoch in self._spec["eval_epochs"]:
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
        recipe = self._spec["recipe"]
        levels = {"": recipe["strengths"]["ema_decay"], "_raw": 0.0}
        levels["_ema"] = levels[""]
        levels |= {f".{name}": decay for name, decay in self._spec["ema_levels"].items()}
        values: dict[str, float] = {}
        for suffix, decay in levels.items():
            top1 = toy_top1({**recipe["strengths"], "ema_decay": decay}, recipe["seed"])
            top1 *= 1.0 - math.exp(-self._epoch)
            for part in parts:
                values |= {f"{part}{suffix}/top1": top1, f"{part}{suffix}/nll": 1.0 - top1}
                values[f"{part}{suffix}/nll_refined"] = 1.0 - top1
        return values


def toy_top1(strengths: dict[str, float], seed: int) -> float:
    """What a recipe reaches: less for strong regularizers and long averages, and a little luck."""
    digest = hashlib.sha256(repr((seed, sorted(strengths.items()))).encode()).digest()
    luck = 0.02 * (digest[0] / 255 - 0.5)
    badness = sum(min(1.0, strengths[name]) for name in STRENGTHS[:3])
    return 0.9 / (1.0 + badness) - 0.5 * (strengths["ema_decay"] > 0.999) + luck


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
