"""Coverage of intervals of balanced accuracy and macro-F1 on few images of rare classes.

    python -m benchmarks.imbalance.simulate confirmation --draws 1000

Everything is drawn image by image (`benchmarks.imbalance.drawn`), and the product's own functions
make the intervals: those of a run, of a confirmation and of an experiment.
"""

import argparse

from benchmarks.imbalance.confirmation import confirmation_table, run_table
from benchmarks.imbalance.experiment import experiment_table

TABLES = {"run": run_table, "confirmation": confirmation_table, "experiment": experiment_table}


def main() -> None:
    """Simulate and print a table of docs/imbalance.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--draws", type=int, default=1000, help="of each row")
    given = parser.parse_args()
    for line in TABLES[given.table](given.draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
