"""Files that are there in full or not at all, whenever the process or the machine dies."""

import os
from pathlib import Path


def commit(partial: Path, final: Path) -> None:
    """Give a written file its name: until then what was there before is there, and after it this.

    Args:
        partial: The written and closed file, in the same folder.
        final: Its name; a file of that name is replaced.
    """
    sync(partial)
    partial.replace(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, outlive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
