"""Atomic writing of files, reading of JSON, and the lock on a run directory."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.records.strict_json import parse_json
from spaces.errors import InputError
from trainable.whole_file import commit


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: after a crash at any moment it has the old text or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    commit(partial, path)


def write_json(path: Path, data: Any) -> None:
    """Write standard JSON atomically; infinities and NaN become null."""
    write_text(path, json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If the file is missing or not JSON (`search.records.strict_json.parse_json`).
    """
    try:
        if path.exists() and not path.is_file():  # A pipe would never end.
            raise InputError(f"{path} must be a file, but is none.")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_json(content, where=str(path))


def exists(path: str | Path) -> bool:
    """Whether a file or folder exists; False also for names that no file can have."""
    try:
        return Path(path).exists()
    except OSError:  # The name is too long, or links lead in a circle.
        return False


def make_writable(directory: Path) -> None:
    """Make a directory with its parents, and check that files can be written to it.

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


def require_closed(run_dir: Path) -> None:
    """Raise if a run directory has links that lead out of it, through which files could be written.

    The directory itself may be a link.

    Raises:
        InputError: If there is such a link.
    """
    real = os.path.realpath(run_dir)
    for folder, folders, files in os.walk(real):
        for name in (*folders, *files):
            entry = Path(folder, name)
            mode = entry.lstat().st_mode
            if stat.S_ISLNK(mode) and not os.path.realpath(entry).startswith(real + os.sep):
                raise InputError(
                    f"Every link in a run directory must lead to a place inside it, but {entry} "
                    f"leads to {os.path.realpath(entry)}."
                )
            if not (stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise InputError(f"A run directory must hold files and folders, but got {entry}.")


@contextmanager
def only_driver(run_dir: Path) -> Iterator[None]:
    """Lock a run directory for this process; the lock ends with the context or the process.

    Raises:
        InputError: If another process works on the run, or links lead out of it.
    """
    require_closed(run_dir)
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
