"""One side of `benchmarks.steps.two_checkouts`: takes a training step whenever it is told to.

Runs in a process of its own with another checkout of this repository first on the path, also one
from before `benchmarks` had folders. Reads a line of JSON per request and answers with one.
"""

import json
import sys
import time
from dataclasses import replace

import torch

try:
    from benchmarks.steps.step_models import RECIPES, random_dataset
except ModuleNotFoundError:  # Up to commit 6d45ff1.
    from benchmarks.step_models import RECIPES, random_dataset  # type: ignore[no-redef,import-not-found]
from trainable.trainer import Trainer


def main() -> None:
    """Answer requests until there are no more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # Nothing but answers may reach the other side.
    asked = json.loads(sys.stdin.readline())
    torch.set_num_threads(asked["num_threads"])
    recipe = replace(RECIPES[asked["recipe"]], model=asked["model"], image_size=asked["image_size"])
    dataset = random_dataset(recipe)
    trainer = Trainer(recipe, dataset, dataset.split)
    trainer.model.train()
    batches = dataset.split.train[: 3 * recipe.batch_size].reshape(3, -1)
    print(json.dumps({"cpu": torch.backends.cpu.get_cpu_capability()}), file=answers, flush=True)
    for number, _ in enumerate(sys.stdin):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = trainer._step(batches[number % len(batches)])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        answer = {"cpu_s": cpu, "wall_s": wall, "loss": float(loss)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
