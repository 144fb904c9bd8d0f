"""Two sides of a comparison in one process, taking turns, and what machine they ran on."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """The ratio of two sides' times, over pairs of neighbours in time.

    Attributes:
        median: Median of the ratios.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> "Ratio":
        """Compute the ratio from paired seconds."""
        ratios = [n / d for n, d in zip(numerators, denominators, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        return cls(median=median, low=low, high=high)

    def __str__(self) -> str:
        return f"**{self.median:.2f}** ({self.low:.2f} to {self.high:.2f})"


def take_turns(
    sides: Sequence[Callable[[], object]],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of each side in each round, after an untimed one; who begins changes every round.

    Args:
        sides: What to time.
        rounds: How often.
        clock: `time.process_time` leaves out what other processes take of the core, and is right
            for a side that runs in this process alone.
    """
    seconds: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for number in range(rounds):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for place in order:
            started = clock()
            sides[place]()
            seconds[place].append(clock() - started)
    return seconds


def print_machine() -> None:
    """Hardware, versions and command: a number without them says nothing."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ", end="")
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}; ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}")
    # `python -m` says so here, and only the path of the file in `sys.argv`.
    program = sys.modules["__main__"].__spec__.name
    print(f"`python -m {program} {' '.join(sys.argv[1:])}`\n", flush=True)
