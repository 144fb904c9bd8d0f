"""Saving and loading the state of a run, whole or not at all."""

import os
from pathlib import Path

import torch
from pyarrow.fs import FileSystem, FileType

from trainable.trainer import Trainer

_FILE = "run.pt"


def save(trainer: Trainer, directory: Path) -> None:
    """Write the state of a run; after a crash at any moment the old file or the new one is left."""
    target = directory / _FILE
    partial = directory / f"{_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(trainer.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)


def exists(location: Path | str) -> bool:
    """Whether a state was saved in a directory, or under a URI that pyarrow opens."""
    filesystem, path = _file(location)
    return bool(filesystem.get_file_info(path).type == FileType.File)


def load(trainer: Trainer, location: Path | str) -> None:
    """Bring a trainer to the state that was saved in a directory, or under a URI.

    Only tensors and plain containers are read (``weights_only=True``): no checkpoint can run code.
    """
    filesystem, path = _file(location)
    with filesystem.open_input_file(path) as file:
        state = torch.load(file, map_location=trainer.device, weights_only=True)
    trainer.load_state_dict(state)


def _file(location: Path | str) -> tuple[FileSystem, str]:
    text = str(location)
    # Of plain paths pyarrow takes absolute ones only.
    filesystem, path = FileSystem.from_uri(text if "://" in text else str(Path(text).absolute()))
    return filesystem, f"{path.rstrip('/')}/{_FILE}"
