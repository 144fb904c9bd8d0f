"""Saving and loading the state of a run, whole or not at all."""

import os
from pathlib import Path

import torch

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


def exists(directory: Path) -> bool:
    """Whether a state was saved there."""
    return (directory / _FILE).is_file()


def load(trainer: Trainer, directory: Path) -> None:
    """Bring a trainer to a saved state.

    Only tensors and plain containers are read (``weights_only=True``): no checkpoint can run code.
    """
    state = torch.load(directory / _FILE, map_location=trainer.device, weights_only=True)
    trainer.load_state_dict(state)
