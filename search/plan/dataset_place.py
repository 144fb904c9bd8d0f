"""Paths in names of datasets, made absolute: trials run in other working directories."""

import os
from pathlib import Path

from search.records.files import exists


def absolute_dataset(text: str) -> str:
    """Return a dataset's name with the path in it made absolute, if there is something there.

    Links are followed to the end for a folder alone: the paths in a table are relative to the
    folder in which the link to it lies.
    """
    if "://" in text or not exists(text):
        return text
    return os.path.realpath(text) if Path(text).is_dir() else str(Path(text).absolute())


def is_gone(text: str) -> bool:
    """Whether a dataset is an absolute path at which there is nothing."""
    return Path(text).is_absolute() and not exists(text)
