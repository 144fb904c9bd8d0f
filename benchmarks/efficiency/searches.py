r"""How much training does a search need to find a good recipe? Ours, stock Ray Tune, Syne Tune.

    python -m benchmarks.efficiency.searches --scratch /tmp/efficiency
    /an/environment/with/syne-tune/bin/python -m benchmarks.efficiency.searches \
        --scratch /tmp/efficiency --sides syne-asha syne-bore syne-bohb syne-cqr
    python -m benchmarks.efficiency.plot --scratch /tmp/efficiency

Searches are replayed on a simulated clock, two trials at a time, an epoch a second, over a fit of
recorded learning curves (`benchmarks.efficiency.surrogate`). Each seed is another search with other
noise. What a search would hand over is judged by the fitted, noise-free curves: validation and test
metrics at full length. One row per search and moment goes into ``replays.csv`` of the scratch
directory as soon as it is known, and is not computed again.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.efficiency.clock import NUM_WORKERS, Picked, Search, replay
from benchmarks.efficiency.methods import random_search, stock, syne
from benchmarks.efficiency.surrogate import Floats, Surrogate, fit
from benchmarks.efficiency.table import METRICS, PROBLEMS, Problem, load_table
from spaces.strengths.values import Strengths

BUDGETS = (4, 6, 8, 10, 12, 14, 16, 20, 24)
"""Times at which a search is asked for its choice, in full-length runs."""
NUM_SAMPLES = (4, 6, 8, 12, 16, 24, 32)
"""Sizes of our search, which ends by running its best few again."""
SIDES: dict[str, Callable[[Problem, int], Search]] = {
    "random": partial(random_search, scaled=False),
    "random, scaled ranges": partial(random_search, scaled=True),
    "stock": partial(stock, scaled=False),
    "stock, scaled ranges": partial(stock, scaled=True),
    "syne-asha": partial(syne, scheduler_name="ASHA"),
    "syne-bore": partial(syne, scheduler_name="ASHABORE"),
    "syne-cqr": partial(syne, scheduler_name="ASHACQR"),
    "syne-bohb": partial(syne, scheduler_name="BOHB"),
}
OURS = "ours"
TRUTH = tuple(f"{part}/{metric}" for part in ("val", "test") for metric in METRICS)
COLUMNS = ("problem", "side", "seed", "num_samples", "time", "epochs", *TRUTH)


def surrogate_of(problem: Problem, scratch: Path) -> Surrogate:
    """The fitted curves, from a file if they were fitted before."""
    path = scratch / f"{problem.name}.npz"
    if not path.exists():
        fit(load_table(problem)).surrogate.save(path)
    return Surrogate.load(path)


def searched(
    problem: Problem,
    side: str,
    seed: int,
    surrogate: Surrogate,
    *,
    num_samples: int,
    data_dir: Path,
) -> list[Picked]:
    """Replay one search; ``num_samples`` is 0 for a side that can be asked at any moment."""

    def observed(strengths: Strengths, number: int) -> Floats:
        rng = np.random.default_rng((seed, number))
        return surrogate.observed(np.array(list(strengths.as_dict().values())), rng)

    epochs = problem.recipe.epochs
    if side != OURS:
        times = tuple(float(budget * epochs) / NUM_WORKERS for budget in BUDGETS)
        return replay(SIDES[side](problem, seed), observed, epochs=epochs, ask_at=times)
    from benchmarks.efficiency.ours import Ours

    # In memory where there is such a place: a journal flushes every line to disk.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as run_dir:
        ours = Ours(
            problem, seed, num_samples=num_samples, run_dir=Path(run_dir), data_dir=data_dir
        )
        return replay(ours, observed, epochs=epochs)


def rows_of(picks: list[Picked], surrogate: Surrogate) -> Iterator[dict[str, object]]:
    """The rows of one search without their first columns."""
    strengths = np.array([list(pick.strengths.as_dict().values()) for pick in picks])
    for pick, truth in zip(picks, surrogate.truth(strengths), strict=True):
        row: dict[str, object] = {"time": pick.time, "epochs": pick.epochs}
        yield row | dict(zip(TRUTH, (f"{value:.6g}" for value in truth), strict=True))


def main() -> None:
    """Replay what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True, help="fits and rows are kept here")
    parser.add_argument(
        "--sides", nargs="+", choices=[OURS, *SIDES], default=[OURS, *list(SIDES)[:4]]
    )
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--samples", type=int, nargs="+", default=NUM_SAMPLES, help="sizes of ours")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    asked = parser.parse_args()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    path = asked.scratch / "replays.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as file:
            done = {
                (row["problem"], row["side"], int(row["seed"]), int(row["num_samples"]))
                for row in csv.DictReader(file)
            }
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        for name in asked.problems:
            surrogate = surrogate_of(PROBLEMS[name], asked.scratch)
            for side in asked.sides:
                started = time.process_time()
                for num_samples in asked.samples if side == OURS else (0,):
                    for seed in range(asked.seeds):
                        key = (name, side, seed, num_samples)
                        if key in done:
                            continue
                        picks = searched(
                            PROBLEMS[name],
                            side,
                            seed,
                            surrogate,
                            num_samples=num_samples,
                            data_dir=asked.data_dir,
                        )
                        head = dict(zip(COLUMNS, key, strict=False))
                        writer.writerows(head | row for row in rows_of(picks, surrogate))
                        file.flush()
                print(f"{name}: {side}, {time.process_time() - started:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
