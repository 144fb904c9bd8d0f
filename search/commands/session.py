"""What surrounds the work of a command that runs for long: its log, and how it may be ended."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.records.passwords import without_passwords


class _Discreet(logging.Formatter):
    """Tells no password, neither in a message nor in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


class _LogFile(logging.FileHandler):
    """A log that is left out where it cannot be written: the disk is full, and others say so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  As logging spells it.
        pass


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Have everything that is logged, by us and by libraries, in one file beside the results."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with suppress(OSError):  # It writes once more what did not go in.
            handler.close()


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Close runs properly also where a job scheduler ends the process with SIGTERM."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
