"""Log file and signal handling of commands that run for long."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.records.passwords import without_passwords


class _Discreet(logging.Formatter):
    """A formatter that removes passwords from messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


class _LogFile(logging.FileHandler):
    """A log file whose write errors are ignored: a full disk is reported elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  As logging spells it.
        pass


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write all log messages, ours and those of libraries, to one file within the context."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with suppress(OSError):  # Closing writes the rest of the buffer, which may fail again.
            handler.close()


class Interruption:
    """Handler of signals that end a run: the first closes it, two more in that time leave it.

    Args:
        may_leave: Whether to end the process then; a kernel of a notebook stays.
    """

    def __init__(self, *, may_leave: bool = True) -> None:
        self._may_leave = may_leave
        self._is_closing = False
        self._is_impatient = False
        self._go_on = ""

    def closes(self, go_on: str = "") -> None:
        """Note that the run is being closed, which no signal must interrupt.

        Args:
            go_on: Line with the command to resume, printed if the user does not wait for the end.
        """
        self._is_closing = True
        self._go_on = go_on or self._go_on

    def __call__(self, number: int, frame: object) -> None:
        """Handle a signal."""
        if not self._is_closing:
            raise KeyboardInterrupt
        if self._is_impatient:
            _tell(self._go_on or "Interrupted while it closed.")
            os._exit(130)  # Ray's processes end with this one.
        if not self._may_leave:
            _tell("Closing what is open, which takes some seconds.")
            return
        self._is_impatient = True
        _tell("Closing what is open, which takes some seconds; once more leaves it as it is.")


def _tell(text: str) -> None:
    """Write a line from within a signal, which may have come in the middle of another write."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))


@contextmanager
def interruptible(*, may_leave: bool = True) -> Iterator[Interruption]:
    """Close runs properly however they are ended.

    Ctrl-C, SIGTERM (a job scheduler) and SIGHUP (a terminal that is closed) all raise
    `KeyboardInterrupt`; SIGHUP does not where it is ignored, as under nohup. Python lets only the
    main thread handle signals: in another one they are left alone. On leaving the context, the
    handlers from before are back.

    Args:
        may_leave: See `Interruption`.
    """
    interruption = Interruption(may_leave=may_leave)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interruption) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
