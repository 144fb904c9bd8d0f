"""Atomic saving and loading of the state of a run.

A file's name carries the digest of its content. Copying to the storage of a cluster syncs nothing,
so that power loss may leave a file there that is cut short or full of zeros; such a file does not
match its name and is never trusted.
"""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch

from trainable.trainer import Trainer
from trainable.whole_file import commit

_PARTIAL = "run.partial"


def save(trainer: Trainer, directory: Path) -> None:
    """Write the state of a run; after a crash at any moment one complete file is left."""
    partial = directory / _PARTIAL
    with partial.open("w+b") as file:
        torch.save(trainer.state_dict(), file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = directory / f"run-{trainer.epoch:06d}-{digest}.pt"
    commit(partial, target)  # The new name outlives power loss before the old file goes.
    for old in _files(directory):
        if old != target:
            old.unlink()


def load(trainer: Trainer, directory: Path) -> bool:
    """Load the newest complete state into a trainer.

    Returns:
        Whether there is one; the trainer is untouched if not.

    Raises:
        RuntimeError: See `read`.
    """
    state = read(directory, device=trainer.device)
    if state is None:
        return False
    trainer.load_state_dict(state)
    return True


def read(directory: Path, *, device: torch.device | str) -> dict[str, Any] | None:
    """Read the newest complete state, or return None if there is none.

    Only tensors and plain containers are read (``weights_only=True``): no checkpoint can run code.

    Raises:
        RuntimeError: If the file holds anything else.
    """
    path = _newest(directory)
    if path is None:
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        # torch's own message recommends to load it without that guard.
        raise RuntimeError(
            f"{path} is no checkpoint of tensors ({type(error).__name__}); delete it, and the "
            "training starts over."
        ) from None
    return state


def _newest(directory: Path) -> Path | None:
    return next((path for path in reversed(_files(directory)) if _is_whole(path)), None)


def _files(directory: Path) -> list[Path]:
    """List the saved states in the order of their epochs."""
    return sorted(directory.glob("run-*.pt"))


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        return path.stem.endswith(hashlib.file_digest(file, "sha256").hexdigest())
