"""Record the table on which searches are replayed: full-length learning curves of many recipes.

    python -m benchmarks.efficiency.record --into /tmp/curves.csv    # about 70 core-minutes
    python -m benchmarks.efficiency.record --into /tmp/curves.csv --pack

Recipes are those of `benchmarks.efficiency.table.planned_runs`. Averages never act back on a run,
so one run is recorded under several values of ``ema_decay``: one row each. A row holds the
strengths; top-1, log-loss and refined log-loss on the validation images after every epoch; the same
at the end on many small validation sets, drawn from images that were not trained on; and on test
images that are in none of those. A diverged run stays empty from where it diverged.

Every run that is finished is in the file and is not done again: an interrupted recording goes on.
Two processes may share the work (``--part 0 2`` and ``--part 1 2``, each with a file of its own).
"""

import argparse
import csv
import gzip
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.efficiency.table import (
    METRICS,
    NUM_FOLDS,
    PATH,
    PROBLEMS,
    VAL_SIZES,
    Planned,
    planned_runs,
)
from spaces.strengths.registry import STRENGTHS
from trainable.augment.batch_augment import Normalizer
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.splits import resplit
from trainable.ema import OWN
from trainable.evaluation import predict, quick_metrics
from trainable.measurement import EVAL_BATCH_SIZE
from trainable.models.build import describe_model
from trainable.precision import Diverged
from trainable.trainer import Trainer

LENT = 400
"""Test images that small validation sets are drawn from, too, and that no recipe is judged on."""
JUDGES = 2000
"""Most test images that recipes are judged on."""


def columns() -> list[str]:
    """Names of the columns, the same for both problems; ``val/nll@7`` is after epoch 7."""
    longest = max(problem.recipe.epochs for problem in PROBLEMS.values())
    return [
        *("problem", "point", "seed", *STRENGTHS),
        *(f"val/{metric}@{epoch}" for epoch in range(1, longest + 1) for metric in METRICS),
        *(
            f"val{size}.{fold}/{metric}"
            for size in VAL_SIZES
            for fold in range(NUM_FOLDS)
            for metric in METRICS
        ),
        *(f"test/{metric}" for metric in METRICS),
        "cpu_s",
    ]


def record(planned: Planned, dataset: Dataset) -> list[dict[str, object]]:
    """Train once and return one row per recipe."""
    problem = PROBLEMS[planned.problem]
    split = dataset.split
    if planned.seed:
        split = resplit(split, dataset.labels, seed=planned.seed)
    recipe = replace(problem.recipe, seed=planned.seed, strengths=planned.strengths[0])
    extra = {f"level{i}": s.ema_decay for i, s in enumerate(planned.strengths) if i}
    started = time.process_time()
    trainer = Trainer(recipe, dataset, split, ema_levels=extra)
    # A problem does not know how many images each class has.
    task = replace(trainer.task, smallest_class=0, largest_class=0)
    assert task == problem.task, (task, problem.task)
    info = describe_model(recipe.model)
    normalize = Normalizer(info.mean, info.std, trainer.device)
    labels = torch.from_numpy(dataset.labels)

    def logits(level: str, images: NDArray[np.int64]) -> Tensor:
        with trainer.ema.averaged(level):
            return predict(
                trainer.model,
                dataset.images,
                images,
                batch_size=EVAL_BATCH_SIZE,
                device=trainer.device,
                normalize=normalize,
            )

    levels = [OWN, *extra]
    rows: list[dict[str, object]] = [
        {"problem": planned.problem, "point": planned.point, "seed": planned.seed}
        | strengths.as_dict()
        for strengths in planned.strengths
    ]
    try:
        for epoch in range(1, recipe.epochs + 1):
            trainer.train_epoch()
            for row, level in zip(rows, levels, strict=True):
                found = quick_metrics(logits(level, split.val), labels[split.val])
                row |= {f"val/{metric}@{epoch}": found[metric] for metric in METRICS}
    except Diverged:
        return rows
    test = np.random.default_rng(0).permutation(split.test)
    pool = np.concatenate([split.val[: max(VAL_SIZES)], test[:LENT]])
    judges = test[LENT : LENT + JUDGES]
    for row, level in zip(rows, levels, strict=True):
        found = quick_metrics(logits(level, judges), labels[judges])
        row |= {f"test/{metric}": found[metric] for metric in METRICS}
        pool_logits = logits(level, pool)
        for size in VAL_SIZES:
            for fold in range(NUM_FOLDS):
                # The same images for every recipe: those of one search share theirs, too.
                drawn = np.random.default_rng((size, fold)).permutation(len(pool))[:size]
                found = quick_metrics(pool_logits[drawn], labels[pool[drawn]])
                row |= {f"val{size}.{fold}/{metric}": found[metric] for metric in METRICS}
    rows[0]["cpu_s"] = round(time.process_time() - started, 2)
    return rows


def finished(path: Path) -> set[str]:
    """Names of the runs whose rows are in a file."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {f"{r['problem']}/{r['point']}/{r['seed']}" for r in csv.DictReader(file)}


def append(path: Path, rows: list[dict[str, object]]) -> None:
    """Add the rows of one run, the header before the first."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns(), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(
            {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )


def pack(paths: list[Path]) -> None:
    """Write the recorded rows, in the order of the plan, as the table of the repository."""
    lines: dict[str, list[dict[str, str]]] = {}
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                name = f"{row['problem']}/{row['point']}/{row['seed']}"
                lines.setdefault(name, []).append(row)
    # Without the time of packing, so that the same rows make the same file.
    with PATH.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        text = [",".join(columns())]
        for planned in planned_runs():
            text += [",".join(row.values()) for row in lines.get(planned.name, [])]
        packed.write(("\n".join(text) + "\n").encode())
    print(f"{len(lines)} runs, {len(text) - 1} recipes, {PATH.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Record what is missing, or pack."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.efficiency.record")
    parser.add_argument("--into", type=Path, required=True, nargs="+", help="file that grows")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "OF"))
    parser.add_argument("--budget-min", type=float, default=60.0, help="of CPU; begin none after")
    parser.add_argument("--pack", action="store_true", help=f"write {PATH.name} and train nothing")
    asked = parser.parse_args()
    if asked.pack:
        pack(asked.into)
        return
    torch.set_num_threads(1)
    part, num_parts = asked.part
    datasets = {
        problem.name: load_dataset(
            problem.dataset,
            image_size=problem.recipe.image_size,
            data_dir=asked.data_dir,
            num_train=problem.subset,
            seed=0,
        )
        for problem in PROBLEMS.values()
    }
    done = set().union(*(finished(path) for path in asked.into))
    missing = [p for i, p in enumerate(planned_runs()) if i % num_parts == part]
    for planned in (p for p in missing if p.name not in done):
        if time.process_time() > 60 * asked.budget_min:
            break
        append(asked.into[0], record(planned, datasets[planned.problem]))
        print(f"{time.process_time() / 60:6.1f} CPU-min  {planned.name}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
