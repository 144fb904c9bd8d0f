"""The references with planted culprits, and what ``make diagnose`` would be asked about each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from search.plan.config import RunConfig
from search.plan.plan import Plan
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS

NUM_FRESH = 6
"""Further seeds for the fit state, of which a diagnosis draws three."""

TASKS: Mapping[str, Mapping[str, Any]] = {
    # EfficientNet-Lite0 with ImageNet weights, 300 digits, 135 steps: 9 s a run.
    "small-transfer": {"dataset": "small-transfer"},
    # From scratch, 108 steps: 1.4 s a run.
    "fashion": {
        "dataset": "fashion-mnist",
        "model": "test_resnet",
        "pretrained": False,
        "image_size": 28,
        "num_train": 300,
        "epochs": 12,
        "lr": 5e-3,
    },
    # The digits as a folder of PNG files, from scratch: 1.4 s a run.
    "folder": {
        "dataset": "<folder>",
        "model": "test_resnet",
        "pretrained": False,
        "num_train": 300,
        "epochs": 12,
        "lr": 5e-3,
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One reference to diagnose.

    Attributes:
        task: Name in `TASKS`.
        planted: Strengths of the reference that are far too strong, with their raw values.
        mild: The other strengths of the reference: each differs noticeably from the size-scaled
            default, so that its dial is asked about, and none should do much.
        averages: Further references, by name, which have this ``ema_decay`` instead.
        best: Strengths to hold against the reference instead of the size-scaled default.
        epochs: Instead of the task's.
        pairs: Pairs of blocks to record.
        fits: Fit states of the reference that are right.
    """

    task: str
    planted: Mapping[str, float]
    mild: Mapping[str, float]
    averages: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    epochs: int | None = None
    pairs: int = 3
    fits: tuple[str, ...] = ("balanced", "overfit")

    @property
    def reference(self) -> dict[str, float]:
        """Raw strengths of the reference."""
        return {**self.mild, **self.planted}


# Windows of 2 % of the run, against the default's 5 %.
_TRANSFER_MILD = {
    "weight_decay": 0.05,
    "label_smoothing": 0.02,
    "drop_path_rate": 0.03,
    "ema_decay": 0.63,
    "warmup_fraction": 0.1,
}
_SCRATCH_MILD = {**_TRANSFER_MILD, "weight_decay": 5.0, "ema_decay": 0.54}
_PUBLISHED = {
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "drop_path_rate": 0.1,
    "ema_decay": 0.9999,
    "warmup_fraction": 0.05,
}
_UNDER = ("underfit",)


def _scratch(task: str, **settings: Any) -> Case:
    return Case(task=task, **{"mild": _SCRATCH_MILD, "planted": {}, **settings})


# Nothing holds these back, so that they learn 300 images by heart; stronger values are offered.
_OVERFIT = {
    "mild": dict.fromkeys(STRENGTHS, 0.0),
    "best": {
        "weight_decay": 10.0,
        "label_smoothing": 0.1,
        "drop_path_rate": 0.2,
        "ema_decay": 0.54,
        "warmup_fraction": 0.1,
    },
    "fits": ("overfit",),
}
_SHORT = {"epochs": 2, "fits": ("undertrained",)}
_AVERAGES = {"ema_f4": 0.9977, "ema_0.9999": 0.9999}

CASES: Mapping[str, Case] = {
    "small-transfer/none": Case(
        task="small-transfer",
        planted={},
        mild=_TRANSFER_MILD,
        averages={"ema_f4": 0.99815, "ema_0.9999": 0.9999},
        pairs=3,
    ),
    "small-transfer/smoothing_0.4+drop_path_0.5": Case(
        task="small-transfer",
        planted={"label_smoothing": 0.4, "drop_path_rate": 0.5},
        mild=_TRANSFER_MILD,
        pairs=3,
        fits=_UNDER,
    ),
    "small-transfer/decay_W40+warmup_0.7": Case(
        task="small-transfer",
        # lr * wd * T is 0.135 wd here.
        planted={"weight_decay": 296.0, "warmup_fraction": 0.7},
        mild=_TRANSFER_MILD,
        pairs=3,
        fits=_UNDER,
    ),
    "small-transfer/short": Case(
        task="small-transfer",
        planted={},
        mild=_PUBLISHED,
        epochs=2,
        pairs=3,
        fits=("undertrained",),
    ),
    # On the two tasks from scratch lr * wd * T is 0.54 wd.
    "fashion/none": _scratch("fashion", averages=_AVERAGES),
    "fashion/smoothing_0.4": _scratch("fashion", planted={"label_smoothing": 0.4}, fits=_UNDER),
    "fashion/drop_path_0.6": _scratch("fashion", planted={"drop_path_rate": 0.6}, fits=_UNDER),
    "fashion/decay_W40": _scratch("fashion", planted={"weight_decay": 74.0}, fits=_UNDER),
    "fashion/warmup_0.7": _scratch("fashion", planted={"warmup_fraction": 0.7}, fits=_UNDER),
    "fashion/smoothing_0.5+warmup_0.7": _scratch(
        "fashion", planted={"label_smoothing": 0.5, "warmup_fraction": 0.7}, fits=_UNDER
    ),
    "fashion/drop_path_0.4+ema_0.9999": _scratch(
        "fashion", planted={"drop_path_rate": 0.4, "ema_decay": 0.9999}, fits=_UNDER
    ),
    "fashion/overfit": _scratch("fashion", **_OVERFIT),
    "fashion/short": _scratch("fashion", **_SHORT),
    "fashion/short+published": _scratch("fashion", **{**_SHORT, "mild": _PUBLISHED}),
    "folder/none": _scratch("folder", averages=_AVERAGES),
    "folder/smoothing_0.3": _scratch("folder", planted={"label_smoothing": 0.3}, fits=_UNDER),
    "folder/drop_path_0.5+decay_W40": _scratch(
        "folder", planted={"drop_path_rate": 0.5, "weight_decay": 74.0}, fits=_UNDER
    ),
    "folder/overfit": _scratch("folder", **_OVERFIT),
    "folder/short": _scratch("folder", **_SHORT),
}


def config_of(name: str, *, work_dir: Path, data_dir: Path) -> RunConfig:
    """Write the recipe files and make the settings of ``make diagnose`` for this case."""
    case = CASES[name]
    folder = work_dir / name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    settings = dict(TASKS[case.task])
    if settings["dataset"] == "<folder>":
        settings["dataset"] = str(write_folder(work_dir / "digits-folder"))
    if case.epochs is not None:
        settings["epochs"] = case.epochs
    if case.best:
        settings["best"] = str(_write_recipe(folder / "best.yaml", case.best))
    return RunConfig(
        **settings,
        reference=str(_write_recipe(folder / "reference.yaml", case.reference)),
        stages=("attribute", "confirm"),
        amp_dtype="none",
        run_dir=str(folder),
        run_name="planted",
        data_dir=str(data_dir),
        created="",
        confirm_seeds=NUM_FRESH,
    )


def _write_recipe(path: Path, strengths: Mapping[str, float]) -> Path:
    path.write_text(yaml.safe_dump({"schema": "recipe/1", "strengths": dict(strengths)}))
    return path


def write_folder(root: Path) -> Path:
    """The digits as ``root/<class>/<number>.png``; written once."""
    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = root / str(label) / f"{i:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(path)
    return root


def candidate_of(plan: Plan) -> Recipe:
    """The recipe that is held against the reference."""
    return plan.candidate or plan.anchors["scaled"]


def fresh_owner(name: str) -> str:
    """The case under which best and everything-off are recorded: once per task where equal."""
    case = CASES[name]
    return name if case.best or case.epochs is not None else f"{case.task}/none"
