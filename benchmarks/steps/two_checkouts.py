"""A training step of this checkout against that of another one, of an older commit say.

    git worktree add /tmp/base 6d45ff1
    python -m benchmarks.steps.two_checkouts /tmp/base
    python -m benchmarks.steps.two_checkouts /tmp/base --emulate-avx2

Each side is a process with its own settings of torch and of the C library. They take turns, one
step at a time, and only one works at any time; a ratio is taken of two neighbours in time. With one
thread CPU seconds count, which leaves out what other processes take of the core; with several,
seconds. Losses are compared over the first steps, which both sides take on the same images.

``--emulate-avx2`` tells oneDNN and torch to leave AVX-512 alone, which is a stand-in for a CPU
without it: instructions are those of such a CPU, caches and clock are not. MKL, whose matrix
products both sides may use, is not told.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.pairs import print_machine
from benchmarks.steps.step_models import CASES, RECIPES

WORKER = Path(__file__).with_name("step_worker.py")
HERE = WORKER.parents[2]
WARM_UP_STEPS = 3
NUM_LOSSES = 20
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


class Side:
    """A process that trains with the code of one checkout."""

    def __init__(self, checkout: Path, environment: dict[str, str], request: Any) -> None:
        threads = str(request["num_threads"])
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env=os.environ
            | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": threads}
            | environment,
        )
        self.cpu = self.ask(request)["cpu"]

    def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(other: Path, environment: dict[str, str], request: Any, *, rounds: int) -> str:
    """A row of the table."""
    clock = "cpu_s" if request["num_threads"] == 1 else "wall_s"
    with (
        Side(other, environment, request) as theirs,
        Side(HERE, environment, request) as ours,
    ):
        cpu = ours.cpu
        answers: list[tuple[Any, Any]] = []
        for number in range(WARM_UP_STEPS + rounds):
            if number % 2 == 0:
                old, new = theirs.ask("step"), ours.ask("step")
            else:
                new, old = ours.ask("step"), theirs.ask("step")
            answers.append((old, new))
    seconds = [(old[clock], new[clock]) for old, new in answers[WARM_UP_STEPS:]]
    ratios = [old / new for old, new in seconds]
    old_s, new_s = (statistics.median(side) for side in zip(*seconds, strict=True))
    off = max(abs(old["loss"] - new["loss"]) / old["loss"] for old, new in answers[:NUM_LOSSES])
    return (
        f"| {request['model']} | {request['image_size']} | {request['recipe']} | {cpu} "
        f"| {request['num_threads']} | {1e3 * old_s:.1f} | {1e3 * new_s:.1f} "
        f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) "
        f"| {off:.0e} |"
    )


def print_table(
    cases: Sequence[tuple[str, int]],
    other: Path,
    environment: dict[str, str],
    *,
    recipes: Sequence[str],
    num_threads: int,
    rounds: int,
) -> None:
    """All cases."""
    print(
        "| model | px | recipe | instructions | threads | other, ms | this, ms "
        f"| other / this: median (min to max of {rounds} pairs) | losses differ by |"
    )
    print("| --- " * 9 + "|")
    for model, image_size in cases:
        for recipe in recipes:
            request = {
                "model": model,
                "image_size": image_size,
                "recipe": recipe,
                "num_threads": num_threads,
            }
            print(compare(other, environment, request, rounds=rounds), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps.two_checkouts")
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--model", help="one model instead of all cases")
    parser.add_argument("--image-size", type=int, default=32, help="pixels, with --model")
    parser.add_argument("--recipe", choices=RECIPES, help="one recipe instead of both")
    parser.add_argument("--rounds", type=int, default=31, help="timed pairs of steps")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of either side")
    parser.add_argument("--emulate-avx2", action="store_true", help="as if without AVX-512")
    asked = parser.parse_args()
    print_machine()
    print_table(
        [(asked.model, asked.image_size)] if asked.model else CASES,
        asked.other.resolve(),
        AVX2 if asked.emulate_avx2 else {},
        recipes=[asked.recipe] if asked.recipe else list(RECIPES),
        num_threads=asked.threads,
        rounds=asked.rounds,
    )


if __name__ == "__main__":
    main()
