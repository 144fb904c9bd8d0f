"""Steps on a CUDA device, in blocks that the host does not wait within."""

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from benchmarks.pairs import Ratio, take_turns
from benchmarks.steps.step_models import RECIPES, step_pair


def print_cuda(cases: Sequence[tuple[str, int]], *, rounds: int, steps_per_block: int = 50) -> None:
    """The table of ``cuda``: throughput, its share of the bare step's, and waits inside a step."""
    device = torch.device("cuda")
    print(
        "| model | px | recipe | compiled | whole, images/s | bare, images/s | share of bare "
        "| host waits in a step |"
    )
    print("| --- " * 8 + "|")
    for model, image_size in cases:
        for name, base in RECIPES.items():
            for compiled in (False, True):
                recipe = replace(
                    base,
                    model=model,
                    image_size=image_size,
                    batch_size=256,
                    amp_dtype="auto",
                    compile=compiled,
                )
                sides = step_pair(recipe, device)
                blocks = [_block(side, steps_per_block) for side in sides]
                whole, bare = take_turns(blocks, rounds=rounds)
                images = steps_per_block * recipe.batch_size
                print(
                    f"| {model} | {image_size} | {name} | {compiled} "
                    f"| {images / statistics.median(whole):.0f} "
                    f"| {images / statistics.median(bare):.0f} | {Ratio.of(bare, whole)} "
                    f"| {count_host_waits(sides[0])} |",
                    flush=True,
                )


def _block(step: Callable[[], None], number: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(number):
            step()
        torch.cuda.synchronize()

    return run


def count_host_waits(step: Callable[[], None]) -> int:
    """Count how often the host waits for the device during one step, by torch's own detector."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)
