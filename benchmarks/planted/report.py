"""Tabulate and draw what was found of the planted culprits, from ``benchmarks/planted/record.csv``.

    python -m benchmarks.planted.report

Writes ``docs/planted.png`` and the tables between the two marks in ``docs/planted.md``; what is
said around them is written by hand.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.planted.picture import draw
from benchmarks.planted.record import DATA
from benchmarks.planted.scores import evaluate, scores
from benchmarks.planted.tables import (
    calibration_table,
    case_table,
    coverage_table,
    fit_table,
    gain_table,
    gap_table,
    score_table,
    unplanted_table,
)
from benchmarks.planted.verdicts import load
from search.records.provenance import ROOT

DOCS = ROOT / "docs"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


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
    tables = [
        score_table(found),
        coverage_table(cases),
        fit_table(cases),
        gap_table(cases),
        calibration_table(cases),
        unplanted_table(cases),
        case_table(cases),
        gain_table(cases),
    ]
    text = "\n\n".join("\n".join(rows) for rows in tables)
    page = args.docs / "planted.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    draw(cases, found, args.docs / "planted.png")
    print(text)


if __name__ == "__main__":
    main()
