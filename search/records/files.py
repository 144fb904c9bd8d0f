"""Atomic writing of files, reading of JSON, and the lock on a run directory."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.records.strict_json import parse_json
from spaces.errors import InputError
from trainable.whole_file import NoLocksError, commit, lock

LOCK_FILE = ".lock"
_PROBE = ".probe"
_FIRST_FILES = ("plan.json", "config.json", "recipe.yaml", "train.json")
"""First files of a search and of a training run; with the last of each, the run has begun."""
_OF_A_START = {
    *(LOCK_FILE, _PROBE, "plan.json", "recipe.yaml"),
    *(f".{name}.partial" for name in _FIRST_FILES),
}


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
        probe = directory / _PROBE
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
        InputError: If another process works on the run, links lead out of it, or nothing can be
            locked there.
    """
    require_closed(run_dir)
    try:
        file = (run_dir / LOCK_FILE).open("w")
    except OSError as error:
        raise InputError(f"{run_dir} cannot be written to: {error.strerror}.") from error
    with file:
        try:
            lock(file, waits=False)
        except BlockingIOError as error:
            raise InputError(f"Another process works on {run_dir}; wait or end it.") from error
        except NoLocksError as error:
            raise InputError(
                f"A run directory must lie on a file system with locks (flock), but that of "
                f"{run_dir} has none ({error.strerror}): give a --run-dir on another one, a local "
                "disk or home, and --storage for checkpoints that all nodes must reach; or have "
                "it mounted with locks (Lustre: -o flock)."
            ) from error
        yield


def is_begun(run_dir: Path) -> bool:
    """Whether a directory holds more than the first files of a start that was killed.

    Such a start can be made again.
    """
    if not run_dir.is_dir():
        return exists(run_dir)
    found = {path.name for path in run_dir.iterdir()}
    # A lock is taken before anything is written: without one, these files are somebody else's.
    return bool(found - (_OF_A_START if LOCK_FILE in found else {_PROBE}))


def _finite(data: Any) -> Any:
    if isinstance(data, float) and not abs(data) < float("inf"):
        return None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data
