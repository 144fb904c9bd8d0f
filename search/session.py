"""What surrounds the work of a command that runs for long: its log, and how it may be ended."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.passwords import without_passwords


class _Discreet(logging.Formatter):
    """Tells no password, neither in a message nor in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Have everything that is logged, by us and by libraries, in one file beside the results."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
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
