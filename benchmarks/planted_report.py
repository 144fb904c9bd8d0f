"""Tabulate and draw what was found of the planted culprits, from ``benchmarks/planted.csv``.

    python -m benchmarks.planted_report

Writes ``docs/planted.png`` and the tables between the two marks in ``docs/planted.md``; what is
said around them is written by hand.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.planted import DATA, METRICS
from benchmarks.planted_alternatives import ablation_blocks, by_importance, one_at_a_time
from benchmarks.planted_picture import draw
from benchmarks.planted_verdicts import (
    Diagnosis,
    Recorded,
    diagnoses,
    is_covered,
    is_right,
    load,
    must_turn,
    truth,
)
from search.wording import change

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

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
    """How one way of judging did; shares are means over cases of means over draws.

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
    """What a diagnosis turns."""
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
            found += [
                (len(case.drawn), name in names) for name in case.culprits
            ]  # Weighted by case below.
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
    searched = [case for case in cases if case.recorded.random]
    ways = {
        "this project": (cases, ours),
        "one at a time, 95 % intervals": (ablated, ablation(True)),
        "one at a time, no intervals": (ablated, ablation(False)),
    }
    if searched:
        ways |= {
            "this project, where a search was recorded": (searched, ours),
            "Optuna's importances and signs": (searched, optuna),
        }
    return {name: score(some, judged) for name, (some, judged) in ways.items()}


def score_table(found: Mapping[str, Score]) -> Iterator[str]:
    """One row per way of judging."""
    head = ("", "cases", "culprits found", "turns per diagnosis", "false, of all turns")
    yield from _head(*head, "diagnoses with a false turn", numeric=5)
    for name, at in found.items():
        yield (
            f"| {name} | {at.num_cases} | {at.found:.0%} | {at.turns:.2f} | {at.false:.1%} | "
            f"{at.spoilt:.1%} |"
        )


def _head(*names: str, numeric: int) -> Iterator[str]:
    """Head of a table whose last columns are numbers."""
    yield f"| {' | '.join(names)} |"
    yield "|" + " :-- |" * (len(names) - numeric) + " --: |" * numeric


def case_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """One row per planted strength, and one per case without any."""
    yield from _head("case", "planted", "costs in truth", "culprit by", "runs", "turned in", numeric=2)
    for case in cases:
        recorded = case.recorded
        runs = np.mean([d.num_runs for d in case.drawn])
        fits = Counter(d.fit.reference for d in case.drawn if d.fit)
        said = ", ".join(f"{state} {n}" for state, n in fits.most_common()) or "not recorded"
        others = Counter(
            f"`{name}` {_direction(d, name)}, {_verdict(recorded, name, metric, d)}"
            for d in case.drawn
            for name, metric in turns_of(d)
            if name not in recorded.planted
        )
        other = ", ".join(f"{what} ({n})" for what, n in others.most_common()) or "none"
        for i, name in enumerate(recorded.planted or ("",)):
            turned = sum(name in dict(turns_of(d)) for d in case.drawn)
            yield " | ".join(
                [
                    f"| {recorded.name if i == 0 else ''}",
                    f"`{name}` {_raw(recorded, name)}" if name else "nothing",
                    _costs(recorded, name) if name else "",
                    _words(case.culprits.get(name)) if name else "",
                    f"{runs:.0f}" if i == 0 else "",
                    f"{turned} of {len(case.drawn)}" if name else "",
                    other if i == 0 else "",
                    f"{said} |" if i == 0 else " |",
                ]
            )


def _direction(diagnosis: Diagnosis, name: str) -> str:
    return next(d.turn for d in diagnosis.dials if d.strength == name)


def _verdict(recorded: Recorded, name: str, metric: str | None, diagnosis: Diagnosis) -> str:
    right = is_right(recorded, name, metric, without=diagnosis.used)
    return "right" if right else "false"


def _raw(recorded: Recorded, name: str) -> str:
    return f"{recorded.plan.reference.strengths.as_dict()[name]:g}"


def _costs(recorded: Recorded, name: str) -> str:
    parts = []
    for metric in ("val/top1", "val/nll"):
        found = truth(recorded, name, metric)
        if found is not None:
            scale, digits = (100.0, 1) if metric.endswith("top1") else (1.0, 2)
            parts.append(f"{change(metric, -found.mean)} ± {scale * found.half:.{digits}f}")
    return ", ".join(parts) or "not enough blocks"


def _words(metric: str | None) -> str:
    if metric is None:
        return "no culprit"
    return {"val/top1": "accuracy", "val/nll": "log-loss"}.get(metric, "refined log-loss")


def coverage_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """How often 95 % intervals agree with the blocks that they did not see."""
    yield from _head("metric", "intervals", "agree with the other blocks", numeric=2)
    everything: list[bool] = []
    for metric in METRICS:
        hits = covered(cases, metric)
        if hits:
            everything += hits
            yield f"| {metric} | {len(hits)} | {np.mean(hits):.1%} |"
    if everything:
        yield f"| all | {len(everything)} | {np.mean(everything):.1%} |"


def covered(cases: Sequence[Evaluated], metric: str) -> list[bool]:
    """Whether each interval of each diagnosis agrees with the blocks that it did not see."""
    found = [
        is_covered(case.recorded, effects[metric], name, metric, drawn.used)
        for case in cases
        for drawn in case.drawn
        for name, effects in drawn.effects.items()
    ]
    return [hit for hit in found if hit is not None]


def fit_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """How often the fit state is the one that was planted."""
    yield from _head("said instead", "should be", "cases", "diagnoses", "right", numeric=3)
    groups: dict[tuple[str, ...], list[Evaluated]] = {}
    for case in cases:
        # A reference whose planted strength does no harm is as good as one without.
        harmless = case.recorded.planted and not case.culprits
        wanted = ("balanced", "overfit") if harmless else case.recorded.fits
        groups.setdefault(wanted, []).append(case)
    for wanted, group in groups.items():
        states = [d.fit.reference for case in group for d in case.drawn if d.fit]
        wrong = Counter(state for state in states if state not in wanted)
        if states:
            yield (
                f"| {' or '.join(wanted)} | {len(group)} | {len(states)} | "
                f"{np.mean([s in wanted for s in states]):.0%} | "
                f"{', '.join(f'{s} {n}' for s, n in wrong.most_common()) or 'nothing'} |"
            )


def main() -> None:
    """Write the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, default=DATA)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()) / "planted")
    parser.add_argument("--docs", type=Path, default=DOCS)
    args = parser.parse_args()
    recorded = load(args.table, work_dir=args.work_dir, data_dir=args.data_dir)
    cases = [evaluate(case) for case in recorded if len(case.pairs) >= 1]
    found = scores(cases)
    tables = [score_table(found), coverage_table(cases), fit_table(cases), case_table(cases)]
    text = "\n\n".join("\n".join(rows) for rows in tables)
    page = args.docs / "planted.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    draw(cases, found, args.docs / "planted.png")
    print(text)


if __name__ == "__main__":
    main()
