"""Where does each strength's best value lie, in data sets of 300 to 10 000 images?

    python -m benchmarks.scaling.record                       # about an hour on two cores
    python -m benchmarks.scaling.record --arms scratch --sizes 300 1000 --seeds 5

Fashion-MNIST is thinned out to several sizes. Around the size-scaled default of each size
(`spaces.anchors`), one strength at a time takes the values of a grid in effective units. Runs of
one size and one seed share training images, initial weights, batch order and noise, so that values
are compared in pairs. EMA averages never act back on a run: the run of the default carries all
windows of the grid at once.

Every run that is finished is appended to ``benchmarks/scaling/record.csv``, and is not done again:
a benchmark that was interrupted goes on. `benchmarks/scaling/report.py` turns the rows into
``docs/scaling.md``.
"""

import argparse
import csv
import itertools
import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from spaces.anchors import size_scaled
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from spaces.task import Task
from spaces.units import limits, to_effective, to_raw
from trainable.augment.batch_augment import Normalizer
from trainable.batch_norm import refresh_batch_norm
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.splits import Split, subset
from trainable.models.build import describe_model
from trainable.trainer import Trainer

DATA = Path(__file__).with_suffix(".csv")
COLUMNS = (
    *("arm", "num_train", "total_steps", "run", "seed", "strength", "effective", "raw"),
    *("top1", "nll", "nll_refined", "clean_train_top1", "clean_train_nll", "train_s"),
)
EMA_WINDOWS = (0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 1 / 3)
REFRESHED = "ema_decay, BatchNorm refreshed"
"""The windows again, with BatchNorm's statistics measured anew on the averaged weights."""
MOST_REFRESHED = 1024
"""Training images that statistics are measured anew on."""
SAME = 1.2
"""Two values of a grid that differ by less than this factor are one."""
COARSE_FROM = 10_000
"""Training images from which a grid has every other value, since a run there costs as much as ten;
all but that of weight decay, whose best value moves most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One model, trained on several sizes of one data set.

    Attributes:
        recipe: All but epochs, strengths and seed.
        epochs: By number of training images; fewer for more images, as budgets go.
        num_val: Images to measure on, the same for all sizes and seeds.
        grid: Effective values by strength, to be tried beside the default.
    """

    recipe: Recipe
    epochs: Mapping[int, int]
    num_val: int
    grid: Mapping[str, tuple[float, ...]]


_SHARED = {
    "label_smoothing": (0.0, 0.05, 0.1, 0.2, 0.3),
    "drop_path_rate": (0.1, 0.2, 0.35, 0.5),
    "warmup_fraction": (0.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
}
ARMS = {
    "scratch": Arm(
        # lr: of 1e-3, 3e-3, 1e-2 and 2e-2, the two in the middle are best at 300 and 1000 images.
        recipe=Recipe(model="test_resnet", image_size=28, lr=5e-3, amp_dtype="none"),
        epochs={300: 24, 1000: 16, 3000: 11, 10_000: 6},
        num_val=3000,
        grid={"weight_decay": (0.0, 0.6, 2.0, 6.0, 60.0, 180.0), **_SHARED},
    ),
    "transfer": Arm(
        recipe=Recipe(
            model="tf_efficientnet_lite0", pretrained=True, image_size=32, amp_dtype="none"
        ),
        epochs={300: 15, 1000: 8},
        num_val=1000,
        grid={"weight_decay": (0.0, 0.05, 20.0), **_SHARED},
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run: the default, or the default with one strength at another value.

    Attributes:
        arm: Name in `ARMS`.
        num_train: Training images.
        seed: Of everything random, the choice of training images included.
        strength: The strength that differs; None is the default itself, and so is `REFRESHED`.
        effective: Its value in effective units; 0 for the default.
    """

    arm: str
    num_train: int
    seed: int
    strength: str | None = None
    effective: float = 0.0

    @property
    def name(self) -> str:
        """Unique, and the same in every process: what tells a finished run."""
        if self.strength == REFRESHED:
            return f"{self.arm}-{self.num_train}-seed{self.seed}-refreshed"
        value = f"{self.strength}={self.effective:.4g}" if self.strength else "default"
        return f"{self.arm}-{self.num_train}-seed{self.seed}-{value}"


def recipe_and_task(arm: Arm, num_train: int) -> tuple[Recipe, Task]:
    """The size-scaled default for this many images, and the task that it is scaled to."""
    recipe = replace(arm.recipe, epochs=arm.epochs[num_train])
    num_blocks = describe_model(recipe.model).num_blocks
    task = Task.of(recipe, num_train=num_train, num_classes=10, num_blocks=num_blocks)
    return size_scaled(recipe, task), task


def grid_beside(
    default: float, values: tuple[float, ...], limit: tuple[float, float]
) -> list[float]:
    """The values that this run can carry out and that are not the default once more."""
    chosen = [default]
    for value in values:
        value = min(max(value, limit[0]), limit[1])
        if all(_differ(value, other) for other in chosen):
            chosen.append(value)
    return chosen[1:]


def _differ(a: float, b: float) -> bool:
    return max(a, b) > SAME * min(a, b)


def runs_of(arm_name: str, num_train: int, seed: int) -> Iterator[Run]:
    """The default, then everything beside it."""
    arm = ARMS[arm_name]
    recipe, task = recipe_and_task(arm, num_train)
    yield Run(arm=arm_name, num_train=num_train, seed=seed)
    yield Run(arm=arm_name, num_train=num_train, seed=seed, strength=REFRESHED)
    for strength, values in arm.grid.items():
        if num_train >= COARSE_FROM and strength != "weight_decay":
            values = values[::2]
        default = to_effective(strength, recipe.strengths.as_dict()[strength], task)
        for value in grid_beside(default, values, limits(strength, task)):
            yield Run(
                arm=arm_name, num_train=num_train, seed=seed, strength=strength, effective=value
            )


def carry_out(run: Run, dataset: Dataset) -> list[dict[str, object]]:
    """Train and measure; returns one row per value of a strength that the run is an instance of.

    The default is an instance of its own value of all five strengths, and of every EMA window.
    """
    arm = ARMS[run.arm]
    recipe, task = recipe_and_task(arm, run.num_train)
    recipe = replace(recipe, seed=run.seed)
    decays: dict[str, float] = {}
    raw = recipe.strengths.as_dict()
    if run.strength in raw:
        raw = {run.strength: to_raw(run.strength, run.effective, task)}
        recipe = recipe.with_strengths(**raw)
    else:
        # A window of one step or less is no average: it is measured on the raw weights.
        windows = [f for f in EMA_WINDOWS if f * task.total_steps > SAME]
        decays = {f"window{i}": to_raw("ema_decay", f, task) for i, f in enumerate(windows)}
        decays["none"] = 0.0

    split = subset(dataset.split, dataset.labels, run.num_train, seed=run.seed)
    split = replace(split, val=dataset.split.val[: arm.num_val])
    trainer = Trainer(recipe, dataset, split, ema_levels=decays)
    train_s = sum(trainer.train_epoch()["cost/train_s"] for _ in range(recipe.epochs))
    if run.strength == REFRESHED:
        _refresh(trainer, dataset, split)
    metrics = trainer.evaluate("val")

    if run.strength == REFRESHED:
        raw = {}
    elif run.strength is None:
        del raw["ema_decay"]  # Its own window is among the levels.
    ema_name = REFRESHED if run.strength == REFRESHED else "ema_decay"
    measured = [(name, value, "") for name, value in raw.items()]
    measured += [(ema_name, decay, f".{level}") for level, decay in decays.items()]
    return [
        {
            "arm": run.arm,
            "num_train": run.num_train,
            "total_steps": task.total_steps,
            "run": run.name,
            "seed": run.seed,
            "strength": strength,
            "effective": f"{to_effective(base_name(strength), value, task):.6g}",
            "raw": f"{value:.8g}",
            "top1": f"{metrics[f'val{suffix}/top1']:.5f}",
            "nll": f"{metrics[f'val{suffix}/nll']:.6f}",
            "nll_refined": f"{metrics[f'val{suffix}/nll_refined']:.6f}",
            "clean_train_top1": f"{metrics[f'clean_train{suffix}/top1']:.5f}",
            "clean_train_nll": f"{metrics[f'clean_train{suffix}/nll']:.6f}",
            "train_s": f"{train_s:.2f}",
        }
        for strength, value, suffix in measured
    ]


def base_name(name: str) -> str:
    """The strength itself, whatever else is said of how it was measured."""
    return name.partition(",")[0]


def _refresh(trainer: Trainer, dataset: Dataset, split: Split) -> None:
    info = describe_model(trainer.recipe.model)
    normalize = Normalizer(info.mean, info.std, trainer.device)
    order = np.random.default_rng(0).permutation(split.train)[:MOST_REFRESHED]
    parts = np.array_split(order, -(-len(order) // 128))
    for level in trainer.ema.decays:
        with trainer.ema.averaged(level):
            refresh_batch_norm(trainer.model, (normalize(dataset.images[part]) for part in parts))


def finished_runs(path: Path) -> set[str]:
    """Names of the runs whose rows are in the data file."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {row["run"] for row in csv.DictReader(file)}


def append(path: Path, rows: list[dict[str, object]]) -> None:
    """Add the rows of one run, the header before the first."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


_DATASETS: dict[int, Dataset] = {}
"""By image size, loaded before the workers are forked, which then share them."""
_deadline = math.inf


def _begin(deadline: float) -> None:
    global _deadline
    _deadline = deadline
    torch.set_num_threads(1)


def _work(run: Run) -> list[dict[str, object]]:
    """The rows of a run, none when time is up: a pool hands out its queue to the end."""
    if time.monotonic() > _deadline:
        return []
    return carry_out(run, _DATASETS[ARMS[run.arm].recipe.image_size])


def main() -> None:
    """Carry out what is missing of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3, help="Runs per value. [default: 3]")
    parser.add_argument("--workers", type=int, default=2, help="Of one thread each. [default: 2]")
    parser.add_argument("--budget-min", type=float, default=60.0, help="Begin no run after this.")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--sizes", type=int, nargs="+", help="Training images. [default: all]")
    parser.add_argument("--strengths", nargs="+", choices=STRENGTHS, default=tuple(STRENGTHS))
    args = parser.parse_args()

    started, done = time.monotonic(), finished_runs(DATA)
    deadline = started + 60 * args.budget_min
    missing = [
        run
        # Whole seeds before the next: what is there when time is up can be evaluated.
        for arm, seed in itertools.product(args.arms, range(args.seeds))
        for num_train in args.sizes or ARMS[arm].epochs
        if num_train in ARMS[arm].epochs
        for run in runs_of(arm, num_train, seed)
        if run.strength in (None, REFRESHED, *args.strengths) and run.name not in done
    ]
    print(f"{len(done)} runs are finished, {len(missing)} to go.", flush=True)
    for size in {ARMS[run.arm].recipe.image_size for run in missing}:
        _DATASETS[size] = load_dataset(
            "fashion-mnist", image_size=size, data_dir=args.data_dir, num_train=None, seed=0
        )
    # Forked, not spawned: the workers share the images, and keep the benchmark's name in `ps`.
    with multiprocessing.get_context("fork").Pool(args.workers, _begin, (deadline,)) as pool:
        for rows in pool.imap_unordered(_work, missing):
            if rows:
                append(DATA, rows)
                minutes = (time.monotonic() - started) / 60
                print(f"{minutes:6.1f} min  {rows[0]['run']}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
