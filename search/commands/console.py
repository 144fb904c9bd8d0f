"""Output to the terminal or, without colours and at a fixed width, to files and pipes."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console

from search.records.story import STORY

log = logging.getLogger("search")
PLAIN_WIDTH = 132
"""Width in columns of output that is no terminal, so that a log holds whole tables."""


def say(console: Console, text: str, *, style: str | None = None) -> None:
    """Print text unchanged: without line breaks in paths, and with brackets as they are."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
    STORY.info("%s", text)


def tell_of_tracking(console: Console, problems: Sequence[str]) -> None:
    """Print the tracking store's failures unchanged, as they may hold commands and brackets."""
    for problem in problems:
        say(console, f"Tracking: {problem}", style="yellow")


class _Output:
    """Standard output, which may go away under a run: its terminal is closed, its pipe is cut.

    A run goes on without it, and its log tells so.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or from now on nowhere."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or from now on nowhere."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        log.warning("nothing more is printed: %s", error.strerror)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            # What the stream still holds goes there too, when the interpreter ends.
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)


def make_console(file: TextIO | None = None) -> Console:
    """Make the console on a file, or on standard output, which prints text unchanged."""
    if file is not None:
        return Console(
            file=file,
            width=PLAIN_WIDTH,
            force_jupyter=False,
            emoji=False,
            markup=False,
            color_system=None,
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Flush each line, as somebody may follow a file or pipe; and replace characters that the
        # encoding lacks, as an arrow must not end a search with an error.
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    # Without emoji codes and markup, as a path may hold `:cat:` and a message `[/]`.
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    output: Any = _Output(sys.stdout)
    return Console(file=output, width=width, soft_wrap=False, emoji=False, markup=False)
