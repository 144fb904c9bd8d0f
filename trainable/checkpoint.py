"""Saving and loading the state of a run, whole or not at all."""

import os
import pickle
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

    Raises:
        RuntimeError: If the file holds anything else, or is damaged.
    """
    path = directory / _FILE
    try:
        state = torch.load(path, map_location=trainer.device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        # torch's own message recommends to load it without that guard.
        raise RuntimeError(
            f"{path} is damaged or no checkpoint of tensors ({type(error).__name__}); delete it, "
            "and the training starts over."
        ) from None
    trainer.load_state_dict(state)
