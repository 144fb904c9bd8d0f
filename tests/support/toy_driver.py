"""A whole run whose epochs take milliseconds: real driver, real Ray, and trials that misbehave.

    python -m tests.support.toy_driver run|resume <run directory> <tracking uri>

Run as a program, so that workers get the trainable by value and need not import torch. What goes
wrong is told by environment variables, which workers inherit.
"""

import hashlib
import json
import math
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from ray import tune

from trainable.run_spec import RunSpec

BROKEN = "TOY_BROKEN"
"""Trials that raise in their second epoch each time, joined by commas."""
HUNG = "TOY_HUNG"
"""Trials that stop their whole process in their second epoch each time, joined by commas."""
EPOCH_S = "TOY_EPOCH_S"
"""Seconds of an epoch."""
ASKED = "TOY_ASKED"
"""What else is asked for, as JSON: fields of the config by name."""
SCALE = "TOY_SCALE"
"""Times as many images as usual, to be held by Ray's object store."""
EPOCHS = 4
TRAINED = "TOY_TRAINED"
"""File to which every epoch is added when it begins: what was trained, reported or not."""
NUM_TEST = 500
STRENGTHS = ("weight_decay", "label_smoothing", "drop_path_rate", "ema_decay", "warmup_fraction")


class Toy(tune.Trainable):
    """The protocol of `trainable.ray_trainable.RecipeTrainable`, with a checkpoint each epoch."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._spec = RunSpec.from_dict(new_config["spec"])
        self._trial_id = new_config["trial_id"]
        self._epoch = 0
        if self._spec.checkpoint:
            self.load_checkpoint(self._spec.checkpoint)
        return True

    def step(self) -> dict[str, Any]:
        with Path(os.environ[TRAINED]).open("a") as file:
            file.write(f"{self._trial_id} {self._epoch + 1} {os.getpid()}\n")
        time.sleep(float(os.environ[EPOCH_S]))
        if self._epoch == 1 and self._trial_id in os.environ.get(BROKEN, "").split(","):
            raise RuntimeError(f"planted failure of {self._trial_id}")
        if self._epoch == 1 and self._trial_id in os.environ.get(HUNG, "").split(","):
            os.kill(os.getpid(), signal.SIGSTOP)  # As a driver that waits for its device.
        self._epoch += 1
        is_test = self._spec.is_tested_after(self._epoch)
        metrics = {"train/loss": 1.0, "cost/train_s": 0.01}
        if self._spec.is_evaluated_after(self._epoch):
            metrics |= self._measure("val", "clean_train", *(["test"] if is_test else []))
        return {
            "epoch": self._epoch,
            "metrics": metrics,
            "by_image": _by_image() if is_test else {},
            tune.result.SHOULD_CHECKPOINT: self._epoch < self._spec.recipe.epochs,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "epoch.json").write_text(json.dumps(self._epoch))

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        self._epoch = json.loads(Path(checkpoint_dir, "epoch.json").read_text())

    def _measure(self, *parts: str) -> dict[str, float]:
        recipe = self._spec.recipe
        strengths = recipe.strengths.as_dict()
        # The published window ships initial weights; smoothing costs a little; seeds differ.
        digest = hashlib.sha256(repr((recipe.seed, strengths)).encode()).digest()
        luck = 0.02 * (digest[0] / 255 - 0.5)
        levels = {"": strengths["ema_decay"]}
        levels |= {f".{name}": decay for name, decay in self._spec.ema_levels.items()}
        values: dict[str, float] = {}
        for suffix, decay in {**levels, "_raw": 0.0, "_ema": strengths["ema_decay"]}.items():
            quality = 0.9 - strengths["label_smoothing"] - 0.7 * (decay > 0.999) + luck
            top1 = quality * (1.0 - math.exp(-0.4 * self._epoch))
            for part in parts:
                prefix = f"{part}{suffix}"
                values |= {f"{prefix}/top1": top1, f"{prefix}/nll": 1.0 - top1}
                values[f"{prefix}/nll_refined"] = 1.0 - top1
        return values


def _by_image() -> dict[str, str]:
    import base64

    bits = base64.b64encode(bytes(math.ceil(NUM_TEST / 8))).decode()
    return {"correct": bits, "nll": base64.b64encode(bytes(2 * NUM_TEST)).decode()}


def a_plan() -> Any:
    """The plan of `tests.support.finished_run`, four epochs long."""
    from spaces.task import Task
    from tests.support import finished_run

    plan = finished_run.a_plan()
    anchors = {role: replace(recipe, epochs=EPOCHS) for role, recipe in plan.anchors.items()}
    task = Task.of(anchors["reference"], num_train=300, num_classes=2, num_blocks=9)
    return replace(plan, task=task, anchors=anchors, eval_epochs=(2, EPOCHS), rungs=(2,))


def main(command: str, path: Path, tracking_uri: str) -> int:
    """Do or resume the run; the exit code is that of the product."""
    from search import cli
    from search.commands import pipeline
    from search.engine import run as tune_run
    from search.plan.config_file import write_config
    from search.records.files import make_writable, write_json
    from tests.support import finished_run
    from tests.support.toy_training import toy_dataset

    config = finished_run.a_config(
        path.parent,
        run_name=path.name,
        tracking_uri=tracking_uri,
        num_samples=8,
        rerun_top=2,
        max_blocks=2,
        confirm_seeds=2,
        **json.loads(os.environ.get(ASKED, "{}")),
    )
    plan = a_plan()
    dataset = toy_dataset(int(os.environ.get(SCALE, "1")))
    dataset = replace(dataset, digest=plan.data.digest)
    if command == "run":
        make_writable(path)
        write_json(path / "plan.json", plan.to_dict())
        write_config(config, begins=True)
    with (
        mock.patch.object(tune_run, "RecipeTrainable", Toy),
        mock.patch.object(pipeline, "load_images", return_value=dataset),
    ):
        return cli.main(["resume", "--run", str(path)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
