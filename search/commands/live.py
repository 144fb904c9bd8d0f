"""Display of progress that changes in place: a line in a terminal, or a console of its own kind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class StageShown:
    """A stage of a run, how many of its trainings (or epochs) have ended, and of how many."""

    name: str
    num_ended: int
    num_expected: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The progress of a run at one moment: every stage, and the present one in a line of text."""

    stages: tuple[StageShown, ...]
    text: str


class Live(Protocol):
    """A display that changes in place."""

    def start(self) -> None:
        """Begin to show it."""

    def update(self, shown: Shown) -> None:
        """Show this instead of what was shown before."""

    def stop(self) -> None:
        """Take it away, or leave it as it is at the end."""


class LiveConsole(Console, ABC):
    """A console that shows progress in place by itself, as in a cell of a notebook.

    Its user may interrupt a run as often as he likes: the process is not ours to end.
    """

    @abstractmethod
    def live(self) -> Live:
        """Return the display of this console."""


class _TerminalLine:
    """The line at the bottom of a terminal."""

    def __init__(self, console: Console) -> None:
        self._status = console.status(Text("starting workers"))

    def start(self) -> None:
        """Begin to show it."""
        self._status.start()

    def update(self, shown: Shown) -> None:
        """Replace the line."""
        self._status.update(Text(shown.text))

    def stop(self) -> None:
        """Take the line away."""
        self._status.stop()


def live_display(console: Console) -> Live | None:
    """Return the display that a console has for progress; None for a file or a pipe."""
    if isinstance(console, LiveConsole):
        return console.live()
    return _TerminalLine(console) if console.is_terminal else None
