"""Output to the terminal or, without colours and at a fixed width, to files and pipes."""

import io
import sys
from collections.abc import Sequence

from rich.console import Console

PLAIN_WIDTH = 132
"""Width in columns of output that is no terminal, so that a log holds whole tables."""


def say(console: Console, text: str) -> None:
    """Print text unchanged: without line breaks in paths, and with brackets as they are."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def tell_of_tracking(console: Console, problems: Sequence[str]) -> None:
    """Print the tracking store's failures unchanged, as they may hold commands and brackets."""
    for problem in problems:
        console.print(
            f"Tracking: {problem}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )


def make_console() -> Console:
    """Make the console on standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Flush each line, as somebody may follow a file or pipe; and replace characters that the
        # encoding lacks, as an arrow must not end a search with an error.
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    # Without emoji codes, as a path may hold `:cat:`.
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, soft_wrap=False, emoji=False)
