"""Gain of an average by BatchNorm statistics of its own, with intervals over seeds and splits.

    python -m benchmarks.scaling.own_statistics --dataset small-transfer --seeds 6
    python -m benchmarks.scaling.own_statistics --dataset fashion-mnist --num-train 1000 \
        --model test_resnet --epochs 15 --lr 0.005 --seeds 6

Each seed is one run of the size-scaled default on a split of its own, with an average of every
window. Each is measured on the validation images twice: with statistics averaged like the
weights, and with statistics measured anew on up to 1,024 training images. The test split is not
touched.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.planted.markdown import header, row
from search.records.metrics import METRICS
from search.verdict.blocked_model import t_quantile
from search.verdict.schema import Estimate
from search.verdict.wording import with_interval
from spaces.anchors import size_scaled
from spaces.recipe import Recipe
from spaces.task import Task
from spaces.units import to_raw
from trainable.data.collecting import default_recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.models.build import describe_model
from trainable.trainer import Trainer

WINDOWS = (0.02, 0.05, 0.1, 0.2, 0.33)
"""Averaging windows as shares of the run."""
SHOWN = ("top1", "nll_refined", "nll")


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Return the dataset's default recipe with the settings that were asked for."""
    base = default_recipe(args.dataset, data_dir=Path(args.data_dir), columns=None)
    names = ("model", "epochs", "lr", "image_size")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return replace(base, **given, pretrained=base.pretrained and not args.from_scratch)


def measured(recipe: Recipe, dataset: Dataset, seed: int) -> dict[str, dict[str, float]]:
    """Train once; return the validation metrics by window, averaged and measured, and raw."""
    split = dataset.fresh_split(seed)
    info = describe_model(recipe.model)
    task = Task.of(
        recipe,
        num_train=len(split.train),
        num_classes=len(dataset.class_names),
        num_blocks=info.num_blocks,
        deepest_share=info.deepest_share,
    )
    scaled = replace(size_scaled(recipe, task), seed=seed)
    levels = {f"w{i}": to_raw("ema_decay", window, task) for i, window in enumerate(WINDOWS)}
    trainer = Trainer(
        scaled,
        dataset,
        split,
        ema_levels=levels,
        within_levels={f"{name}.ema_batch_norm": 1.0 for name in levels},
    )
    for _ in range(recipe.epochs):
        trainer.train_epoch()
    started = time.perf_counter()
    metrics = trainer.evaluate("val")
    print(
        f"seed {seed}: {task.total_steps} steps, {time.perf_counter() - started:.1f} s", flush=True
    )
    found = {"raw": {name: metrics[f"val_raw/{name}"] for name in SHOWN}}
    for level in levels:
        found[level] = {name: metrics[f"val.{level}/{name}"] for name in SHOWN}
        other = f"{level}.ema_batch_norm"
        found[other] = {name: metrics[f"val.{other}/{name}"] for name in SHOWN}
    return found


def paired(rows: list[dict[str, dict[str, float]]], a: str, b: str, name: str) -> str:
    """Format the mean over seeds of ``a`` minus ``b`` with its 95 % interval."""
    gains = np.array([of[a][name] - of[b][name] for of in rows])
    half = t_quantile(0.05, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    mean = float(gains.mean())
    return with_interval(METRICS[name].unit, Estimate(mean=mean, ci95=(mean - half, mean + half)))


def table(rows: list[dict[str, dict[str, float]]]) -> None:
    """Print a row per window: both values of top-1, and the differences."""
    heads = (
        "top-1 averaged",
        "top-1 measured",
        *(f"{name}, measured - averaged" for name in SHOWN),
    )
    print(*header("window", *heads, "nll_refined, measured - raw", numeric=6), sep="\n")
    for i, window in enumerate(WINDOWS):
        level, other = f"w{i}", f"w{i}.ema_batch_norm"
        means = [100 * float(np.mean([of[x]["top1"] for of in rows])) for x in (level, other)]
        cells = [paired(rows, other, level, name) for name in SHOWN]
        raw = paired(rows, other, "raw", "nll_refined")
        print(row(f"{100 * window:g} %", *(f"{mean:.1f} %" for mean in means), *cells, raw))


def main() -> None:
    """Train all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--num-train", type=int)
    parser.add_argument("--model")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--from-scratch", action="store_true")
    parser.add_argument("--seeds", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    recipe = recipe_of(args)
    dataset = load_dataset(
        args.dataset,
        image_size=recipe.image_size,
        data_dir=Path(args.data_dir),
        num_train=args.num_train,
        seed=0,
    )
    table([measured(recipe, dataset, seed) for seed in range(args.seeds)])


if __name__ == "__main__":
    main()
