"""Log file and signal handling of commands that run for long."""

import logging
import signal
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


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Treat SIGTERM, by which job schedulers end processes, as an interrupt from the keyboard."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
