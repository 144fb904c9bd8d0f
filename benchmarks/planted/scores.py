"""Scores of the diagnosis and its alternatives on all cases: culprits found, false turns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.planted.alternatives import ablation_blocks, by_importance, one_at_a_time
from benchmarks.planted.verdicts import Diagnosis, Recorded, diagnoses, is_right, must_turn

Turns = Sequence[tuple[str, str | None]]
"""Strengths that are turned, with the metric that decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluated:
    """One case with its diagnoses, and what is true of it.

    Attributes:
        recorded: The case.
        drawn: Its diagnoses.
        culprits: Planted strengths that do harm in truth, with the metric that says so.
    """

    recorded: Recorded
    drawn: Sequence[Diagnosis]
    culprits: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The scores of one way of judging; shares are means over cases of means over draws.

    Attributes:
        num_cases: Cases it could be tried on.
        found: Share of the culprits that were turned.
        turns: Turns per draw.
        false: Share of all turns that were false.
        spoilt: Share of draws with a false turn or more.
    """

    num_cases: int
    found: float
    turns: float
    false: float
    spoilt: float


def evaluate(recorded: Recorded) -> Evaluated:
    """Draw all diagnoses of a case."""
    culprits = {name: must_turn(recorded, name) for name in recorded.planted}
    return Evaluated(
        recorded=recorded,
        drawn=diagnoses(recorded),
        culprits={name: metric for name, metric in culprits.items() if metric is not None},
    )


def turns_of(diagnosis: Diagnosis) -> Turns:
    """List the strengths that a diagnosis turns, with the deciding metrics."""
    return [(d.strength, d.decided_by) for d in diagnosis.dials if d.turn in ("down", "up")]


def score(
    cases: Sequence[Evaluated],
    judged: Callable[[Evaluated, Diagnosis, int], tuple[Turns, Sequence[int]]],
) -> Score:
    """Score one way of judging.

    Args:
        cases: All cases.
        judged: What is turned in a draw, and the blocks that it rests on.
    """
    found, turns, false, spoilt = [], [], [], []
    for case in cases:
        of_case = []
        for number, diagnosis in enumerate(case.drawn):
            turned, used = judged(case, diagnosis, number)
            wrong = sum(
                not is_right(case.recorded, name, metric, without=used) for name, metric in turned
            )
            names = {name for name, _ in turned}
            # Weighted so that each culprit counts once, however many draws its case has.
            found += [(len(case.drawn), name in names) for name in case.culprits]
            of_case.append((len(turned), wrong, wrong > 0))
        means = np.mean(of_case, axis=0)
        turns.append(means[0])
        false.append(means[1])
        spoilt.append(means[2])
    weights = [1.0 / count for count, _ in found]
    return Score(
        num_cases=len(cases),
        found=float(np.average([hit for _, hit in found], weights=weights)) if found else 0.0,
        turns=float(np.mean(turns)),
        false=float(np.sum(false) / max(1e-9, np.sum(turns))),
        spoilt=float(np.mean(spoilt)),
    )


def scores(cases: Sequence[Evaluated]) -> dict[str, Score]:
    """The diagnosis and what it is held against, each on as many runs."""

    def ours(case: Evaluated, drawn: Diagnosis, number: int) -> tuple[Turns, Sequence[int]]:
        return turns_of(drawn), drawn.used

    def ablation(with_interval: bool) -> Callable[..., tuple[Turns, Sequence[int]]]:
        def judged(case: Evaluated, drawn: Diagnosis, number: int) -> tuple[Turns, Sequence[int]]:
            blocks = ablation_blocks(case.recorded, drawn.num_runs, number)
            names = one_at_a_time(case.recorded, blocks, with_interval=with_interval)
            return [(name, "val/top1") for name in names], blocks

        return judged

    def optuna(case: Evaluated, drawn: Diagnosis, number: int) -> tuple[Turns, Sequence[int]]:
        names = by_importance(case.recorded, drawn.num_runs, number)
        return [(name, "val/top1") for name in names], ()

    ablated = [case for case in cases if len(case.recorded.singles) >= 2]
    ways = {
        "this project": (cases, ours),
        "one at a time, 95 % intervals": (ablated, ablation(True)),
        "one at a time, no intervals": (ablated, ablation(False)),
        "Optuna's importances and signs": (cases, optuna),
    }
    return {name: score(some, judged) for name, (some, judged) in ways.items()}
