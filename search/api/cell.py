"""The output of a notebook's cell while a run works: one display that changes in place.

Whatever commands print goes into it as lines that are folded away, so that a run of an hour fills
no screens. It is plain HTML, updated by IPython's own messages: neither a script nor a widget, for
which every front end would need an extension.
"""

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from search.commands.console import PLAIN_WIDTH
from search.commands.errors import RunInterrupted
from search.commands.live import Live, LiveConsole, Shown, StageShown
from search.report.notebook import StageBar, progress_html

UPDATED_EVERY_S = 0.5
"""Fewest seconds between two updates: each is a message to the browser."""
_MOST_LINES = 400
"""Lines that are kept; log.txt has all of them."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, as Jupyter, VS Code and Colab run it."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Cell(LiveConsole):
    """A console whose output is a display in the cell that runs now.

    Args:
        title: Title of the display.
        hint: Sentence on stopping and going on, shown while the run works.
    """

    def __init__(self, title: str, *, hint: str) -> None:
        self._lines = _Lines(self.refresh)
        file: Any = self._lines
        super().__init__(
            file=file,
            width=PLAIN_WIDTH,
            force_terminal=False,
            force_jupyter=False,
            color_system=None,
            emoji=False,
            markup=False,
        )
        self._title, self._text, self._hint = title, "getting ready", hint
        self._stages: tuple[StageShown, ...] = ()
        self._handle: Any = None
        self._due_at = 0.0

    def live(self) -> Live:
        """Return the part of the display that shows progress."""
        return _Progress(self)

    def show(self) -> None:
        """Show the display in the cell that runs now."""
        self._handle = _shown(self._page())

    def end(self, text: str) -> None:
        """Leave the display as it is, with this line."""
        self._hint = ""
        self.change(text)
        self.refresh(now=True)

    def change(self, text: str, stages: Sequence[StageShown] | None = None) -> None:
        """Change the line of text, and the stages unless they stay as they are."""
        self._text = text
        if stages is not None:
            self._stages = tuple(stages)
        self.refresh()

    def refresh(self, *, now: bool = False) -> None:
        """Send the present state to the browser, if the last time is long enough ago."""
        if self._handle is None or (time.monotonic() < self._due_at and not now):
            return
        self._handle.update(_html(self._page()))
        self._due_at = time.monotonic() + UPDATED_EVERY_S

    def _page(self) -> str:
        return progress_html(
            self._title,
            stages=[_bar(stage) for stage in self._stages],
            text=" · ".join(part for part in (self._text, self._hint) if part),
            lines=self._lines.kept,
        )


@contextmanager
def cell(title: str, *, hint: str) -> Iterator[Cell]:
    """Show a display in the cell that runs now, and say at its end how that came.

    Not as a context of `Cell` itself, for rich enters and leaves its consoles to print.
    """
    shown = Cell(title, hint=hint)
    shown.show()
    try:
        yield shown
    except (KeyboardInterrupt, RunInterrupted):
        shown.end("interrupted")
        raise
    except BaseException:
        shown.end("ended by an error")
        raise
    shown.end("done")


class _Progress:
    """The progress of a run, shown in its cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def start(self) -> None:
        """Say that workers are starting."""
        self._cell.change("starting workers")

    def update(self, shown: Shown) -> None:
        """Show the stages and the line."""
        self._cell.change(shown.text, shown.stages)

    def stop(self) -> None:
        """Leave the stages as they are and say that trainings have ended."""
        self._cell.change("closing")


class _Lines(io.TextIOBase):
    """A file that keeps the newest lines written to it."""

    def __init__(self, changed: Any) -> None:
        self._changed = changed
        self._rest = ""
        self.kept: list[str] = []

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Add text; whole lines are shown."""
        *whole, self._rest = (self._rest + text).split("\n")
        self.kept = [*self.kept, *(line.rstrip() for line in whole)][-_MOST_LINES:]
        if whole:
            self._changed()
        return len(text)


def _bar(stage: StageShown) -> StageBar:
    share = min(1.0, stage.num_ended / stage.num_expected) if stage.num_expected else 0.0
    return StageBar(
        name=stage.name,
        num_ended=stage.num_ended,
        num_expected=stage.num_expected,
        percent=f"{100 * share:.1f}",
    )


def _shown(page: str) -> Any:
    """Display a page of HTML in the cell that runs now; returns what changes it."""
    display: Any = import_module("IPython.display").display
    return display(_html(page), display_id=True)


def _html(page: str) -> Any:
    return import_module("IPython.display").HTML(page)
