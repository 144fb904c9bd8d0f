"""Names of datasets: of a built-in one, of a folder or table, or with a prefix for the hub."""

import os
from pathlib import Path

from trainable.data.folders.folder_walk import is_folder
from trainable.data.image_sources import printable

HUB = "hf:"
"""Prefix of a dataset that the `datasets` library reads, from its hub or from a folder."""


def expanded(text: str) -> Path:
    """Return a path with ``~`` replaced, if there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # There is no such user.
        return Path(text)


def short_name(text: str) -> str:
    """Return the last part of a path or name of the hub, for people."""
    bare = text.removeprefix(HUB)
    path = expanded(bare)
    return printable(Path(os.path.realpath(path)).name if is_folder(path) else path.name)
