"""Cost of the whole recipe, beside the bare training step and a trainer of timm's parts.

    OMP_NUM_THREADS=1 python -m benchmarks.steps.step_cost steps
    OMP_NUM_THREADS=1 python -m benchmarks.steps.step_cost epochs --source photos fashion-mnist
    python -m benchmarks.steps.step_cost cuda

``steps``: one optimizer step as `trainable.trainer.Trainer` takes it (read and normalize bytes,
schedule, smoothing, stochastic depth, finite check, clipping, average of the weights) against
``zero_grad``, forward, cross-entropy, backward and a step of torch's fused AdamW of the same model
without stochastic depth on one normalized batch, in the same memory format. CPU seconds.

``epochs``: a training epoch, data included, against the same recipe from timm's loader, mixing,
optimizer, schedule and average, on the same folder of image files and the same CPU cores. On one
core CPU seconds, with both sides in one process; on several, seconds.

``cuda``: as ``steps``, seconds of blocks that the host does not wait within; needs a CUDA device.

Both sides of a comparison run in one process and take turns, so that other work on the machine
hits both; a ratio is the median over pairs of neighbours in time.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.pairs import Ratio, print_machine, take_turns
from benchmarks.steps.epoch_cost import PHOTO_SHAPES, print_epochs
from benchmarks.steps.step_cuda import print_cuda
from benchmarks.steps.step_models import CASES, RECIPES, step_pair


def print_steps(cases: Sequence[tuple[str, int]], *, rounds: int) -> None:
    """The table of ``steps``."""
    torch.set_num_threads(1)
    print("| model | px | recipe | bare, ms | whole, ms | whole / bare (quartiles) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model, image_size in cases:
        for name, base in RECIPES.items():
            recipe = replace(base, model=model, image_size=image_size)
            sides = step_pair(recipe, torch.device("cpu"))
            whole, bare = take_turns(sides, rounds=rounds, clock=time.process_time)
            print(
                f"| {model} | {image_size} | {name} | {1e3 * statistics.median(bare):.1f} "
                f"| {1e3 * statistics.median(whole):.1f} | {Ratio.of(whole, bare)} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps.step_cost")
    parser.add_argument("what", choices=("steps", "epochs", "cuda"))
    parser.add_argument("--model", help="one model instead of the three cases")
    parser.add_argument("--image-size", type=int, default=32, help="pixels, with --model")
    parser.add_argument("--rounds", type=int, help="timed pairs; default 41 steps or 5 epochs")
    parser.add_argument("--recipe", choices=RECIPES, help="epochs: one recipe instead of both")
    parser.add_argument(
        "--source",
        choices=("fashion-mnist", "digits", *PHOTO_SHAPES),
        nargs="+",
        default=["fashion-mnist"],
        help="epochs: one or several kinds of files",
    )
    parser.add_argument("--num-train", type=int, default=960, help="epochs: training images")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--cores", type=int, default=1, help="epochs: cores of either side")
    asked = parser.parse_args()
    cases = [(asked.model, asked.image_size)] if asked.model else CASES
    print_machine()
    if asked.what == "steps":
        print_steps(cases, rounds=asked.rounds or 41)
    elif asked.what == "epochs":
        for source in asked.source:
            print_epochs(
                cases,
                names=[asked.recipe] if asked.recipe else list(RECIPES),
                source=source,
                num_train=asked.num_train,
                data_dir=asked.data_dir,
                num_cores=asked.cores,
                rounds=asked.rounds or 5,
            )
    elif torch.cuda.is_available():
        print_cuda(cases, rounds=asked.rounds or 11)
    else:
        parser.error("`cuda` needs a CUDA device, and there is none here")


if __name__ == "__main__":
    main()
