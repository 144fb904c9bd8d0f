"""The two problems on which searches are replayed, and the table of their recorded curves.

Standard library, numpy and scipy only: it is also read in an environment that has neither torch nor
Ray. `benchmarks.efficiency.record` makes the table.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from spaces.anchors import size_scaled
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import to_raw

PATH = Path(__file__).with_name("search_efficiency.csv.gz")
METRICS = ("top1", "nll", "nll_refined")
VAL_SIZES = (100, 200, 300)
"""Images of the small validation sets on which metrics are compared."""
NUM_FOLDS = 12
"""Validation sets of each size."""
NUM_POINTS = 128
"""Points of the design; a power of two, as Sobol's sequence wants it."""
REFERENCE = Strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9999,
    warmup_fraction=0.05,
)
"""The published ImageNet strengths, `spaces.published_imagenet.imagenet`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A task of the benchmark: data and recipe without strengths.

    Attributes:
        name: Name of the task.
        dataset: Name of the dataset.
        subset: Training images to keep, or None for all.
        recipe: Everything but the strengths.
        task: Sizes that the scaled ranges depend on.
        most_drop_path: Upper end of the recorded region; that of all ranges, like the others.
    """

    name: str
    dataset: str
    subset: int | None
    recipe: Recipe
    task: Task
    most_drop_path: float

    @property
    def anchors(self) -> dict[str, Strengths]:
        """Strengths of the anchors that every search of ours runs first, by role."""
        return {
            "reference": REFERENCE,
            "scaled": size_scaled(self.recipe, self.task).strengths,
            "off": Strengths(),
        }


_TRANSFER = Recipe(
    model="tf_efficientnet_lite0", pretrained=True, epochs=15, batch_size=32, amp_dtype="none"
)
_SCRATCH = Recipe(model="test_resnet", image_size=28, epochs=20, lr=5e-3, amp_dtype="none")
PROBLEMS = {
    "small-transfer": Problem(
        name="small-transfer",
        dataset="small-transfer",
        subset=None,
        recipe=_TRANSFER,
        task=Task.of(_TRANSFER, num_train=300, num_classes=10, num_blocks=9),
        most_drop_path=0.3,
    ),
    # lr: in the middle of the two best of 1e-3, 3e-3, 1e-2 and 2e-2 (docs/scaling.md).
    "fashion": Problem(
        name="fashion",
        dataset="fashion-mnist",
        subset=400,
        recipe=_SCRATCH,
        task=Task.of(_SCRATCH, num_train=400, num_classes=10, num_blocks=3),
        most_drop_path=0.5,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One training run of the recording, which carries several averages and so several recipes.

    Attributes:
        problem: Name of the problem.
        point: Number in the design, or the name of an anchor.
        seed: Of the run; 0 is the dataset's own split, others divide its pool afresh.
        strengths: By recipe; they differ in nothing but ``ema_decay``.
    """

    problem: str
    point: str
    seed: int
    strengths: tuple[Strengths, ...]

    @property
    def name(self) -> str:
        """Unique, and the same in every process: what tells a finished run."""
        return f"{self.problem}/{self.point}/{self.seed}"


def planned_runs() -> Iterator[Planned]:
    """Anchors, then the design, then a second seed with every fifth point; problems take turns.

    A recording that ends early still covers the region: so does each beginning of the design.
    """
    for seed in (0, 1):
        for problem in PROBLEMS.values():
            for name, strengths in problem.anchors.items():
                yield Planned(problem=problem.name, point=name, seed=seed, strengths=(strengths,))
    designs = {problem.name: design(problem) for problem in PROBLEMS.values()}
    for seed, step in ((0, 1), (1, 5)):
        for i in range(0, NUM_POINTS, step):
            for name, points in designs.items():
                yield Planned(problem=name, point=str(i), seed=seed, strengths=points[i])


def design(problem: Problem) -> list[tuple[Strengths, ...]]:
    """A scrambled Sobol sequence over everything that any side of the benchmark can propose.

    Each point has a short average (or none), one around the length at which averages break, and
    every second point one that is mostly initial weights, as published decays are in short runs.
    """
    task = problem.task
    steps = task.total_steps
    most_pull = min(10.0 * task.lr, 1.0) * steps
    unit = qmc.Sobol(7, rng=20_241).random(NUM_POINTS)
    points = []
    for i, (wd, ls, dp, warmup, short, cliff, long) in enumerate(unit.tolist()):
        base = Strengths(
            weight_decay=to_raw("weight_decay", _log_or_0(wd, most_pull / 300, most_pull), task),
            label_smoothing=_linear_or_0(ls, 0.2),
            drop_path_rate=_linear_or_0(dp, problem.most_drop_path),
            warmup_fraction=_linear_or_0(warmup, 0.3),
        )
        windows = [_log_or_0(short, 1 / steps, 0.08), _log(cliff, 0.08, 0.4)]
        if i % 2:
            windows.append(_log(long, 0.4, 10_000 / steps))
        decays = [1 - 1 / max(1.0, window * steps) for window in windows]
        points.append(tuple(replace(base, ema_decay=decay) for decay in decays))
    return points


def _log(share: float, low: float, high: float) -> float:
    return float(low * (high / low) ** share)


def _log_or_0(share: float, low: float, high: float) -> float:
    return _log((share - 0.12) / 0.88, low, high) if share > 0.12 else 0.0


def _linear_or_0(share: float, high: float) -> float:
    return high * (share - 0.12) / 0.88 if share > 0.12 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """The recorded recipes of one problem that did not diverge, in the order of the plan.

    Attributes:
        problem: What they were trained on.
        strengths: ``[N, 5]``, raw, in the order of `spaces.strengths.registry.STRENGTHS`.
        point: Which training run a recipe belongs to, with ``seed``; ``[N]``.
        seed: ``[N]``.
        curves: On validation after each epoch, ``[N, epochs, 3]`` in the order of `METRICS`.
        folds: At the end, by size of the validation set, ``[N, NUM_FOLDS, 3]``.
        test: At the end on the judging test images, ``[N, 3]``.
    """

    problem: Problem
    strengths: NDArray[np.float64]
    point: NDArray[np.str_]
    seed: NDArray[np.int64]
    curves: NDArray[np.float64]
    folds: Mapping[int, NDArray[np.float64]]
    test: NDArray[np.float64]

    def only(self, rows: NDArray[np.bool_]) -> "Table":
        """Some of the recipes."""
        return replace(
            self,
            strengths=self.strengths[rows],
            point=self.point[rows],
            seed=self.seed[rows],
            curves=self.curves[rows],
            folds={size: values[rows] for size, values in self.folds.items()},
            test=self.test[rows],
        )


def load_table(problem: Problem, path: Path = PATH) -> Table:
    """Read the recorded recipes of a problem."""
    with gzip.open(path, "rt", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["problem"] == problem.name and row["test/nll"]  # Empty where it diverged.
        ]

    def numbers(*names: str) -> NDArray[np.float64]:
        return np.array([[float(row[name]) for name in names] for row in rows])

    epochs = range(1, problem.recipe.epochs + 1)
    return Table(
        problem=problem,
        strengths=numbers(*STRENGTHS),
        point=np.array([row["point"] for row in rows]),
        seed=np.array([int(row["seed"]) for row in rows]),
        curves=np.stack([numbers(*(f"val/{m}@{e}" for m in METRICS)) for e in epochs], axis=1),
        folds={
            size: np.stack(
                [numbers(*(f"val{size}.{i}/{m}" for m in METRICS)) for i in range(NUM_FOLDS)],
                axis=1,
            )
            for size in VAL_SIZES
        },
        test=numbers(*(f"test/{metric}" for metric in METRICS)),
    )
