"""Experiments with known truth that are topped up again and again: false turns, found culprits.

    python -m benchmarks.planted.top_ups --experiments 500

As in `benchmarks.planted.simulation`, with somebody who asks for more blocks whenever a dial is
still open, up to one or three times: the most that a person who waits for a turn can do.
"""

import argparse
import multiprocessing
from functools import partial

from benchmarks.planted.markdown import header, row, share
from benchmarks.planted.simulation import Condition, Summary, experiment, summarize

TOP_UPS: dict[str, tuple[int, ...]] = {
    "none": (),
    "to 8 blocks": (8,),
    "to 8, 12 and 16": (8, 12, 16),
}
CONDITIONS = (
    Condition(name="nothing"),
    Condition(name="nothing, recorded splits", split=0.5, loss_split=1.0),
    Condition(name="2 points", gains={"label_smoothing": 2.0}),
)
HEAD = ("condition", "top-ups", "first culprit found", "runs", "any false turn")


def simulate(condition: Condition, top_ups: tuple[int, ...], *, experiments: int) -> Summary:
    """Simulate experiments of one condition, topped up while a dial is open."""
    outcomes = [experiment(condition, seed, top_ups=top_ups) for seed in range(experiments)]
    return summarize(condition, outcomes)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    cells = [(condition, name) for condition in CONDITIONS for name in TOP_UPS]
    with multiprocessing.Pool(args.processes) as pool:
        run = partial(_cell, experiments=args.experiments)
        found = pool.map(run, cells, chunksize=1)
    print("\n".join(header(*HEAD, numeric=3)))
    for (condition, name), summary in zip(cells, found, strict=True):
        culprit = share(summary.found) if condition.gains else ""
        runs = f"{summary.num_runs:.1f}"
        print(row(condition.name, name, culprit, runs, share(summary.false)), flush=True)


def _cell(cell: tuple[Condition, str], *, experiments: int) -> Summary:
    condition, name = cell
    return simulate(condition, TOP_UPS[name], experiments=experiments)


if __name__ == "__main__":
    main()
