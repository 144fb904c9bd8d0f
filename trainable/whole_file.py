"""Atomic replacement of files, safe against crashes and power failures."""

import os
from pathlib import Path


def commit(partial: Path, final: Path) -> None:
    """Rename a written file to its final name atomically, replacing an old one.

    Args:
        partial: The written and closed file, in the same folder.
        final: Its name; a file of that name is replaced.
    """
    sync(partial)
    partial.replace(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk, so that they survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
