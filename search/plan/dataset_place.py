"""Paths in names of datasets, made absolute: trials run in other working directories."""

import os
from pathlib import Path

from search.records.files import exists
from trainable.data.place import HUB


def absolute_dataset(text: str) -> str:
    """Return a dataset's name with the path in it made absolute, if there is something there.

    Links are followed to the end for a folder alone: the paths in a table are relative to the
    folder in which the link to it lies.
    """
    prefix = HUB if text.startswith(HUB) else ""
    path = text.removeprefix(prefix)
    if "://" in path or not exists(path):
        return text
    whole = os.path.realpath(path) if Path(path).is_dir() else str(Path(path).absolute())
    return prefix + whole


def is_gone(text: str) -> bool:
    """Whether a dataset is an absolute path at which there is nothing."""
    path = text.removeprefix(HUB)
    return Path(path).is_absolute() and not exists(path)
