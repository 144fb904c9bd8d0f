"""Markdown tables of the benchmark: rows, headers and shares."""

import math
from collections.abc import Iterator


def row(*cells: str) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def header(*names: str, numeric: int) -> Iterator[str]:
    """Header of a table whose last ``numeric`` columns are numbers."""
    yield row(*names)
    yield "|" + " :-- |" * (len(names) - numeric) + " --: |" * numeric


def share(value: float) -> str:
    """A share as ``95.2 %``; empty where it is not known."""
    return "" if math.isnan(value) else f"{100 * value:.1f} %"
