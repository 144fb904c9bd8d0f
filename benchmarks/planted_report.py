"""Tabulate and draw what was found of the planted culprits, from ``benchmarks/planted.csv``.

    python -m benchmarks.planted_report

Writes ``docs/planted.png`` and the tables between the two marks in ``docs/planted.md``; what is
said around them is written by hand.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.planted import DATA, METRICS
from benchmarks.planted_picture import draw
from benchmarks.planted_scores import Evaluated, Score, evaluate, scores, turns_of
from benchmarks.planted_verdicts import Diagnosis, Recorded, is_covered, is_right, load, truth
from search.wording import change

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def score_table(found: Mapping[str, Score]) -> Iterator[str]:
    """One row per way of judging."""
    head = ("", "cases", "culprits found", "turns per diagnosis", "false, of all turns")
    yield from _head(*head, "diagnoses with a false turn", numeric=5)
    for name, at in found.items():
        shares = (f"{at.found:.0%}", f"{at.turns:.2f}", f"{at.false:.1%}", f"{at.spoilt:.1%}")
        yield _row(name, str(at.num_cases), *shares)


def case_table(cases: Sequence[Evaluated]) -> Iterator[str]:
    """One row per planted strength, and one per case without any."""
    head = ("case", "planted", "costs in truth", "culprit by", "other turns", "fit state", "runs")
    yield from _head(*head, "turned in", numeric=2)
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
        if not recorded.planted:
            yield _row(recorded.name, "nothing", "", "", other, said, f"{runs:.0f}", "")
        for i, name in enumerate(recorded.planted):
            turned = sum(name in dict(turns_of(d)) for d in case.drawn)
            yield _row(
                recorded.name if i == 0 else "",
                f"`{name}` {recorded.plan.reference.strengths.as_dict()[name]:g}",
                _costs(recorded, name),
                _words(case.culprits.get(name)),
                *((other, said, f"{runs:.0f}") if i == 0 else ("", "", "")),
                f"{turned} of {len(case.drawn)}",
            )


def _direction(diagnosis: Diagnosis, name: str) -> str:
    return next(d.turn for d in diagnosis.dials if d.strength == name)


def _verdict(recorded: Recorded, name: str, metric: str | None, diagnosis: Diagnosis) -> str:
    right = is_right(recorded, name, metric, without=diagnosis.used)
    return "right" if right else "false"


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
        everything += hits
        if hits:
            yield _row(metric, str(len(hits)), f"{np.mean(hits):.1%}")
    if everything:
        yield _row("all", str(len(everything)), f"{np.mean(everything):.1%}")


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
    yield from _head("should be", "said instead", "cases", "diagnoses", "right", numeric=3)
    groups: dict[tuple[str, ...], list[Evaluated]] = {}
    for case in cases:
        # A reference whose planted strengths do no harm is as good as one without.
        harmless = case.recorded.planted and not case.culprits
        wanted = ("balanced", "overfit") if harmless else case.recorded.fits
        groups.setdefault(wanted, []).append(case)
    for wanted, group in groups.items():
        states = [d.fit.reference for case in group for d in case.drawn if d.fit]
        wrong = Counter(state for state in states if state not in wanted)
        said = ", ".join(f"{state} {n}" for state, n in wrong.most_common()) or "nothing"
        if states:
            right = np.mean([state in wanted for state in states])
            yield _row(" or ".join(wanted), said, str(len(group)), str(len(states)), f"{right:.0%}")


def _head(*names: str, numeric: int) -> Iterator[str]:
    """Head of a table whose last columns are numbers."""
    yield _row(*names)
    yield "|" + " :-- |" * (len(names) - numeric) + " --: |" * numeric


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


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
