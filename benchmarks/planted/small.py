"""Small culprits in recorded runs: a recorded culprit scaled down to 1 to 5 points, and replayed.

    python -m benchmarks.planted.small

All culprits of accuracy in ``benchmarks/planted/record.csv`` cost 5.5 points or more. A small one
is made of a recorded one: the runs of a task's case without culprits, in which every run at the
reference's value of one strength is made worse by a share of what the culprit did in its own case,
block by block (the blocks of all cases of a task have the same splits and seeds). The share is the
one with which the strength costs 1, 2, 3, 4 or 5 points over all blocks. For an average, metrics
are interpolated within each run between the reference's average and the one that lags. So noise,
splits and log-losses are as recorded, and only the size of the effect is not.

Culprits of one task share runs, and so do the diagnoses of one culprit.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.planted.advised import advised_gain
from benchmarks.planted.alternatives import ablation_blocks, by_importance, one_at_a_time
from benchmarks.planted.markdown import header, row
from benchmarks.planted.record import DATA
from benchmarks.planted.scores import turns_of
from benchmarks.planted.verdicts import Diagnosis, Recorded, block_effects, diagnoses, load
from search.verdict.design import EMA_FACTOR
from search.verdict.effects import Run

METRIC = "val/top1"
SIZES = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Points of top-1 that a scaled culprit costs."""
LEAST = 0.05
"""What a recorded culprit must cost to be scaled down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A recorded culprit of accuracy, and the case without culprits of the same task.

    Attributes:
        name: For the table.
        strength: What was planted.
        plain: The case without culprits.
        case: Its own case; for an average, what has the runs of ``plain`` with another reference.
    """

    name: str
    strength: str
    plain: Recorded
    case: Recorded


def sources(cases: Sequence[Recorded]) -> list[Source]:
    """All recorded culprits that cost enough accuracy to be scaled down."""
    plain = {case.case.task: case for case in cases if case.name == f"{case.case.task}/none"}
    found = [
        Source(
            name=f"{case.name}, `{strength}`",
            strength=strength,
            plain=plain[case.case.task],
            case=case,
        )
        for case in cases
        for strength in case.planted
        if case.case.task in plain and strength in plain[case.case.task].names
        if _mean(block_effects(case, strength, METRIC)) >= LEAST
    ]
    # Two culprits of one strength differ in size, which scaling takes away.
    return list({(of.case.case.task, of.strength): of for of in reversed(found)}.values())[::-1]


def scaled(source: Source, points: float) -> Recorded:
    """The case without culprits, in which this strength costs so many points over all blocks."""
    goal = points / 100
    own = _mean(block_effects(source.plain, source.strength, METRIC))
    theirs = _mean(block_effects(source.case, source.strength, METRIC))
    if source.strength == EMA_FACTOR:
        return _changed(source, _interpolated(source, (goal - own) / (theirs - own)))
    return _changed(source, _worsened(source, (goal - own) / theirs))


Change = Mapping[str, Run]
"""Runs by their name, with the metrics that they have in the scaled case."""


def _worsened(source: Source, share: float) -> Change:
    metrics = sorted({m for run in _all(source.plain) for of in run.metrics.values() for m in of})
    effects = {m: block_effects(source.case, source.strength, m) for m in metrics}

    def worse(run: Run) -> Run:
        if run.levels[source.strength] > 0:
            return run
        # A block that the culprit was not recorded in has its mean effect.
        costs = {m: share * of.get(run.block, _mean(of)) for m, of in effects.items()}
        changed = {
            level: {m: value - costs[m] for m, value in of.items()}
            for level, of in run.metrics.items()
        }
        return replace(run, metrics=changed)

    return {run.run_id: worse(run) for run in _all(source.plain)}


def _interpolated(source: Source, share: float) -> Change:
    lagging = {run.run_id: run.metrics.get("reference", {}) for run in _all(source.case)}

    def behind(run: Run) -> Run:
        own = run.metrics.get("reference", {})
        there = lagging[run.run_id]
        mixed = {m: (1 - share) * v + share * there[m] for m, v in own.items() if m in there}
        return replace(run, metrics={**run.metrics, "reference": mixed})

    return {run.run_id: behind(run) for run in _all(source.plain)}


def _all(recorded: Recorded) -> Iterator[Run]:
    for of in recorded.blocks.values():
        yield from of
    for singles in recorded.singles.values():
        yield from singles.values()


def _changed(source: Source, change: Change) -> Recorded:
    plain = source.plain
    return replace(
        plain,
        name=source.name,
        planted=(source.strength,),
        blocks={block: [change[run.run_id] for run in of] for block, of in plain.blocks.items()},
        singles={
            block: {name: change[run.run_id] for name, run in of.items()}
            for block, of in plain.singles.items()
        },
    )


def _mean(effects: Mapping[int, float]) -> float:
    return float(np.mean(list(effects.values()))) if effects else float("nan")


SIDES = (
    "this project",
    "one at a time, 95 % intervals",
    "one at a time, no intervals",
    "Optuna's importances and signs",
)


def turned_by(recorded: Recorded, drawn: Diagnosis, number: int) -> dict[str, set[str]]:
    """What each side turns after one diagnosis."""
    blocks = ablation_blocks(recorded, drawn.num_runs, number)
    ours = {name for name, _ in turns_of(drawn)}
    ablated = (one_at_a_time(recorded, blocks, with_interval=at) for at in (True, False))
    others = (*ablated, by_importance(recorded, drawn.num_runs, number))
    return dict(zip(SIDES, (ours, *map(set, others)), strict=True))


def tables(cases: Sequence[Recorded]) -> Iterator[str]:
    """A row per size: in which share of diagnoses the culprit is turned, and another strength."""
    found = sources(cases)
    columns = ("diagnoses", "runs", *SIDES, "the advised recipe gains")
    yield from header("costs", *columns, numeric=len(columns))
    for points in SIZES:
        said: dict[str, list[tuple[bool, bool]]] = {side: [] for side in SIDES}
        runs: list[int] = []
        gains: list[float] = []
        for source in found:
            recorded = scaled(source, points)
            for number, drawn in enumerate(diagnoses(recorded)):
                runs.append(drawn.num_runs)
                gains.append(advised_gain(recorded, drawn))
                for side, turned in turned_by(recorded, drawn, number).items():
                    others = turned - {source.strength}
                    said[side].append((source.strength in turned, bool(others)))
        shown = ("{:.0%}, {:.0%}".format(*np.mean(of_side, axis=0)) for of_side in said.values())
        yield row(
            f"{points:g} points",
            str(len(runs)),
            f"{np.mean(runs):.1f}",
            *shown,
            f"{np.mean(gains):+.1f}",
        )
    yield ""
    yield f"Culprits: {', '.join(source.name for source in found)}."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=DATA)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()) / "planted")
    args = parser.parse_args()
    cases = load(args.table, work_dir=args.work_dir, data_dir=args.data_dir)
    for line in tables(cases):
        print(line, flush=True)


if __name__ == "__main__":
    main()
