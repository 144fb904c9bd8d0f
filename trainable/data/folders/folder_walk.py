"""Listing of files and folders; hidden ones are skipped."""

import os
from collections.abc import Iterator
from pathlib import Path

from spaces.errors import InputError
from trainable.data.pixels.image_decode import IMAGE_SUFFIXES


def is_folder(path: Path) -> bool:
    """Whether a folder exists; False also for names that no folder can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """List the files and folders in a folder, sorted by name.

    Raises:
        InputError: If it may not be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} must be readable, but is not ({error.strerror}).") from error


def subfolders(folder: Path) -> list[str]:
    """List the names of the visible folders in a folder.

    Raises:
        InputError: If it may not be read.
    """
    return [path.name for path in entries(folder) if is_folder(path) and path.name[0] != "."]


def is_image(name: str) -> bool:
    """Whether a file name has the ending of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def files_below(root: Path, folder: str) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to ``root``; links are followed once.

    Raises:
        InputError: If a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} must be readable, but is not ({error.strerror}).")

    # Not Path.resolve, which raises where links lead in a circle.
    visited = {os.path.realpath(root / folder)}
    for parent, folders, files in os.walk(root / folder, followlinks=True, onerror=refuse):
        real = {f: os.path.realpath(Path(parent, f)) for f in folders if not f.startswith(".")}
        folders[:] = [f for f in real if real[f] not in visited]
        visited.update(real.values())
        relative = Path(parent).relative_to(root).as_posix()
        yield from (f"{relative}/{file}" for file in files if not file.startswith("."))
