"""Writing files whole or not at all, and keeping two processes out of one run."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spaces.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a file; after a crash at any moment the old text or the new one is there."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names that were added to a directory outlive power loss."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_json(path: Path, data: Any) -> None:
    """Write JSON that strict parsers read: infinities and NaN become null."""
    write_text(path, json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: If the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}.") from error


def make_writable(directory: Path) -> None:
    """Make a directory, with parents.

    Raises:
        InputError: If it cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{directory} cannot be written to: {error.strerror}.") from error


@contextmanager
def only_driver(run_dir: Path) -> Iterator[None]:
    """Hold the run for this process; the lock falls with the process, however it ends.

    Raises:
        InputError: If another process works on the run.
    """
    with (run_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"Another process works on {run_dir}; wait or end it.") from error
        yield


def _finite(data: Any) -> Any:
    if isinstance(data, float) and not abs(data) < float("inf"):
        return None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data
