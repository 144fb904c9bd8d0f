"""Culprits that cost the rare classes: what balanced accuracy finds of them, and what top-1 does.

    python -m benchmarks.imbalance.planted class_weighting  # 16 to 32 runs, each of 5 s of CPU time

Images of Fashion-MNIST are written as a folder, many of four classes and few of four others, 60 %
of them to train on. A reference has one setting at a value that costs the rare classes, and is held
against a recipe with a better one; other strengths differ, too, and none by much:

- ``weight_decay``: far too strong, with rare classes that are easy to tell from the others;
- ``class_weighting``: none, with rare classes that each look like a frequent one.

The runs are those of ``make diagnose ... METRIC=balanced_top1`` and of the same with
``METRIC=top1``, which are the same runs: they are made once, without Ray, and judged by either
metric, up to where the product would stop by it.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.planted.markdown import header, row
from search.plan.config import RunConfig
from search.plan.planning import make_plan
from search.records.trials import Record, Trial, TrialSpec
from search.stages.analysis import decide_dials, experiment_runs, is_decided_by
from search.stages.experiment import block_specs, experiment_factors
from search.stages.within_run import with_tried
from search.verdict.schema import Dial
from search.verdict.wording import change_with_interval, metric_words, value_text
from spaces.recipe import Recipe
from spaces.strengths.registry import strength
from spaces.strengths.values import Strengths
from trainable.data.datasets import Dataset, load_dataset
from trainable.precision import Diverged
from trainable.trainer import Trainer

FASHION = {
    "T-shirt": 0,
    "trouser": 1,
    "pullover": 2,
    "dress": 3,
    "coat": 4,
    "sandal": 5,
    "shirt": 6,
    "sneaker": 7,
    "bag": 8,
    "ankle-boot": 9,
}
"""Number of each class in Fashion-MNIST."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A folder, and the two values of the setting that is at fault.

    Attributes:
        frequent: Classes with 100 images.
        rare: The others.
        num_rare: Images of each of these.
        reference: Value of the reference.
        best: Value of the recipe that it is held against.
    """

    frequent: tuple[str, ...]
    rare: tuple[str, ...]
    num_rare: int
    reference: float
    best: float


CASES = {
    "weight_decay": Case(
        frequent=("T-shirt", "pullover", "coat", "shirt"),
        rare=("trouser", "sandal", "bag", "ankle-boot"),
        num_rare=12,
        reference=5.0,
        best=0.05,
    ),
    "class_weighting": Case(
        frequent=("T-shirt", "pullover", "trouser", "sneaker"),
        rare=("shirt", "coat", "dress", "ankle-boot"),
        num_rare=20,
        reference=0.0,
        best=1.0,
    ),
}
NUM_FREQUENT = 100
MILD = {
    "weight_decay": 0.05,
    "label_smoothing": 0.05,
    "drop_path_rate": 0.05,
    "ema_decay": 0.6,
    "warmup_fraction": 0.2,
}
BEST = {
    "weight_decay": 0.05,
    "label_smoothing": 0.0,
    "drop_path_rate": 0.0,
    "ema_decay": 0.85,
    "warmup_fraction": 0.1,
}
SETTINGS: Mapping[str, Any] = {
    "model": "test_resnet",
    "pretrained": False,
    "image_size": 16,
    "epochs": 8,
    "batch_size": 16,
    "lr": 5e-3,
}
METRICS = ("balanced_top1", "top1")


def write_folder(case: Case, root: Path, *, data_dir: Path) -> None:
    """Write the images as ``root/<class>/<number>.png``."""
    images = load_dataset("fashion-mnist", image_size=28, data_dir=data_dir, num_train=None, seed=0)
    for name in (*case.frequent, *case.rare):
        (root / name).mkdir(parents=True)
        size = NUM_FREQUENT if name in case.frequent else case.num_rare
        for i in np.flatnonzero(images.labels == FASHION[name])[:size]:
            pixels = images.images[np.array([i])][0]
            Image.fromarray(pixels).save(root / name / f"{i:05d}.png")


def config_of(metric: str, name: str, work_dir: Path) -> RunConfig:
    """Write the recipe files and make the settings of ``make diagnose``."""
    case = CASES[name]
    recipes = {"reference": (MILD, case.reference), "best": (BEST, case.best)}
    for role, (strengths, value) in recipes.items():
        recipe = strength(name).put(Recipe(strengths=Strengths(**strengths)), value).to_dict()
        kept = {key: recipe[key] for key in ("schema", "strengths", "class_weighting")}
        (work_dir / f"{role}.yaml").write_text(yaml.safe_dump(kept))
    return RunConfig(
        dataset=str(work_dir / "images"),
        reference=str(work_dir / "reference.yaml"),
        best=str(work_dir / "best.yaml"),
        metric=metric,
        stages=("attribute", "confirm"),
        amp_dtype="none",
        run_dir=str(work_dir),
        run_name="planted",
        data_dir=str(work_dir / "data"),
        created="",
        **SETTINGS,
    )


def carry_out(spec: TrialSpec, dataset: Dataset) -> Trial:
    """Train and measure a run as `trainable.ray_trainable` does."""
    assert spec.split_seed is not None
    trainer = Trainer(
        spec.recipe,
        dataset,
        dataset.fresh_split(spec.split_seed),
        ema_levels=spec.ema_levels,
        within_levels=spec.within_levels,
    )
    try:
        for _ in range(spec.recipe.epochs):
            trainer.train_epoch()
        metrics = trainer.evaluate("val")
    except Diverged as error:
        return Trial(spec=spec, status="diverged", reason=str(error))
    end = Record(
        trial_id=spec.trial_id, stage=spec.stage, epoch=spec.recipe.epochs, metrics=metrics
    )
    return Trial(spec=spec, records=(end,), status="finished")


def diagnose(name: str, work_dir: Path) -> dict[str, tuple[int, tuple[Dial, ...]]]:
    """Run blocks until either metric has decided; return the runs that each took and its dials."""
    configs = {metric: config_of(metric, name, work_dir) for metric in METRICS}
    plan, dataset = make_plan(configs[METRICS[0]])
    print(f"{plan.data.num_train} training and {plan.data.num_val} validation images.")
    print(*plan.notes, sep="\n")
    assert plan.candidate is not None
    best = with_tried(plan.candidate, plan)
    what = experiment_factors(plan, best)
    trials: list[Trial] = []
    found: dict[str, tuple[int, tuple[Dial, ...]]] = {}
    first = configs[METRICS[0]]
    for block in range(first.max_blocks):
        started = time.process_time()
        specs = block_specs(plan, best, what, block=block, seed=first.seed)
        trials += [carry_out(spec, dataset) for spec in specs]
        print(f"block {block}: {time.process_time() - started:.0f} s of CPU time", flush=True)
        runs = experiment_runs(trials)
        for metric, config in configs.items():
            if metric in found or block + 1 < config.min_blocks:
                continue
            is_last = block + 1 == config.max_blocks
            if is_last or is_decided_by(runs, plan, config, best):
                found[metric] = len(runs), decide_dials(runs, plan, config, best)[1]
        if len(found) == len(configs):
            break
    return found


def table(found: Mapping[str, tuple[int, tuple[Dial, ...]]]) -> None:
    """Print what each metric said of each setting as a Markdown table."""
    columns = ["setting", "reference", "by", "runs", "turn", "effect", "decided by"]
    print(*header(*columns, numeric=0), sep="\n")
    for metric, (num_runs, dials) in found.items():
        for dial in dials:
            if dial.judged_by not in dial.effect:
                continue
            shown = change_with_interval(dial.judged_by, dial.effect[dial.judged_by])
            cells = [f"`{dial.strength}`", value_text(dial.strength, dial.reference), metric]
            cells += [str(num_runs), dial.turn, shown, metric_words(dial.decided_by or "")]
            print(row(*cells))


def main() -> None:
    """Write the folder, run the experiment and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("culprit", choices=CASES)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(CASES[args.culprit], Path(folder) / "images", data_dir=args.data_dir)
        table(diagnose(args.culprit, Path(folder)))


if __name__ == "__main__":
    main()
