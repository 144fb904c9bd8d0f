"""The room on the machine of the driver: memory, shared memory and disk."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from search.plan.config import RunConfig
from trainable.data.memory import memory_of_machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The room on the machine of the driver, in bytes.

    Attributes:
        memory: Memory that processes may use.
        shared: Free shared memory (``/dev/shm``), or None where there is no such thing.
        disk: Free disk where checkpoints are kept, or None if that is no disk of this machine.
        temporary: Directory for temporary files, in which Ray's object store lies if it has to.
    """

    memory: int
    shared: int | None
    disk: int | None
    temporary: str


def this_machine(config: RunConfig) -> Machine:
    """Measure the machine that this process runs on."""
    shared = Path("/dev/shm")
    storage = config.storage or config.run_dir
    return Machine(
        memory=memory_of_machine(),
        shared=shutil.disk_usage(shared).free if shared.is_dir() else None,
        disk=None if "://" in storage else shutil.disk_usage(_existing(Path(storage))).free,
        temporary=os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(),
    )


def size_text(num_bytes: float) -> str:
    """Write a size in megabytes or gigabytes, powers of ten."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 10**9 else f"{num_bytes / 1e6:.0f} MB"


def _existing(path: Path) -> Path:
    """Return the directory, or the first of its parents that is there."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
