"""The one way to the terminal: coloured and as wide as it is, plain and wide enough elsewhere."""

import io
import sys
from collections.abc import Sequence

from rich.console import Console

PLAIN_WIDTH = 132
"""Columns where the output is no terminal, so that a log holds whole tables."""


def say(console: Console, text: str) -> None:
    """Print text as it is: a path must not be broken, a name in brackets is no markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def tell_of_tracking(console: Console, problems: Sequence[str]) -> None:
    """Print what the tracking store lacks, as it is: it may hold a command, and square brackets."""
    for problem in problems:
        console.print(
            f"Tracking: {problem}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )


def make_console() -> Console:
    """A console on standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In a file or a pipe a line must not wait for a full buffer: somebody follows it. And an
        # arrow that the terminal's alphabet lacks must not end a search.
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    # A path may hold `:cat:`, which is no picture of a cat.
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, soft_wrap=False, emoji=False)
