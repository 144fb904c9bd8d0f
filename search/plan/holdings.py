"""Description of what a run holds in memory, in Ray's object store and on disk."""

import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from search.plan.config import RunConfig
from trainable.data.datasets import Dataset
from trainable.data.memory import memory_of_machine
from trainable.data.streamed_images import StreamedImages

KEPT_RUNS = 5
"""Confirmation runs that leave their weights: one seed of each recipe."""
_RAYS_SHARE = 0.3
_RAYS_LEAST_BYTES = 10 * 10**9
"""Ray's default size of its object store: this share of memory. Up to this many bytes, it does not
become smaller for a small ``/dev/shm``, but lies elsewhere."""


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


def holdings(
    dataset: Dataset, config: RunConfig, machine: Machine, *, state_bytes: int, num_workers: int
) -> list[str]:
    """Describe where images and checkpoints are held, a sentence each.

    Args:
        dataset: The dataset; large ones are streamed (`trainable.data.image_cache.load_images`).
        config: The run's settings.
        machine: Room on the machine of the driver.
        state_bytes: Size of a checkpoint, or 0 if unknown.
        num_workers: Trials that run at once.
    """
    told = [_of_images(dataset, machine)]
    if not config.ray_address:
        told += _of_shared_memory(machine)
    if state_bytes and "confirm" in config.stages:
        told.append(_of_checkpoints(machine, state_bytes, num_workers))
    return told


def _of_images(dataset: Dataset, machine: Machine) -> str:
    shape = dataset.images.shape
    size = math.prod(shape)
    what = f"{shape[0]:,} images of {shape[1]} px, {_gb(size)} decoded"
    if isinstance(dataset.images, StreamedImages):
        return (
            f"Images: {what}, are more than a quarter of this machine's {_gb(machine.memory)} of "
            "memory, so they are streamed: every trial reads and decodes the files again in every "
            "epoch, and nothing of them is kept. A smaller --image-size or --num-train fits."
        )
    return (
        f"Images: {what}, are held once in Ray's object store (shared memory) for all trials of a "
        f"machine; this one has {_gb(machine.memory)} of memory."
    )


def _of_shared_memory(machine: Machine) -> list[str]:
    if machine.shared is None:
        return []
    most = max(_RAYS_LEAST_BYTES, int(0.95 * machine.shared))
    store = min(int(_RAYS_SHARE * machine.memory), most)
    if machine.shared >= store:
        return []
    return [
        f"/dev/shm has {_gb(machine.shared)} free, too little for Ray's object store of "
        f"{_gb(store)}, which therefore lies in {machine.temporary}, on disk, and is slower. In a "
        f"container, start it with --shm-size={math.ceil(store / 2**30)}g; else delete files in "
        "/dev/shm."
    ]


def _of_checkpoints(machine: Machine, state_bytes: int, num_workers: int) -> str:
    kept = KEPT_RUNS * state_bytes
    # A new checkpoint is complete before the old one goes.
    most = kept + 2 * num_workers * state_bytes
    told = (
        f"Checkpoints: up to {_gb(most)} on disk ({_gb(state_bytes)} each), of which {_gb(kept)} "
        "stay until the champion is chosen"
    )
    if machine.disk is None:
        return f"{told}."
    if most > machine.disk:
        return (
            f"{told}, but only {_gb(machine.disk)} are free: give a --run-dir or --storage with "
            "more room."
        )
    return f"{told}; {_gb(machine.disk)} are free."


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 10**9 else f"{num_bytes / 1e6:.0f} MB"


def _existing(path: Path) -> Path:
    """Return the directory, or the first of its parents that is there."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
