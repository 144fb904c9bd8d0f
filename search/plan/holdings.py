"""Description of what a run holds in memory, in Ray's object store and on disk."""

import math

from search.plan.config import RunConfig
from search.plan.machine import Machine, size_text
from search.plan.room import Needs
from trainable.data.datasets import Dataset
from trainable.data.streamed_images import StreamedImages

_RAYS_SHARE = 0.3
_RAYS_LEAST_BYTES = 10 * 10**9
"""Ray's default size of its object store: this share of memory. Up to this many bytes, it does not
become smaller for a small ``/dev/shm``, but lies elsewhere."""


def holdings(dataset: Dataset, config: RunConfig, machine: Machine, needs: Needs) -> list[str]:
    """Describe where images, trials and checkpoints are held, a sentence each.

    Args:
        dataset: The dataset; large ones are streamed (`trainable.data.image_cache.load_images`).
        config: The run's settings.
        machine: Room on the machine of the driver.
        needs: What the trials take.
    """
    told = [_of_images(dataset, machine)]
    if not config.ray_address:
        told += _of_trials(needs)
        told += _of_shared_memory(machine)
    if needs.state and "confirm" in config.stages:
        told.append(_of_checkpoints(machine, needs))
    return told


def _of_images(dataset: Dataset, machine: Machine) -> str:
    shape = dataset.images.shape
    size = math.prod(shape)
    what = f"{shape[0]:,} images of {shape[1]} px, {size_text(size)} decoded"
    if isinstance(dataset.images, StreamedImages):
        return (
            f"Images: {what}, are more than a quarter of this machine's "
            f"{size_text(machine.memory)} of memory, so they are streamed: every trial reads and "
            "decodes the files again in every epoch, and nothing of them is kept. A smaller "
            "--image-size or --num-train fits."
        )
    return (
        f"Images: {what}, are held once in Ray's object store (shared memory) for all trials of a "
        f"machine; this one has {size_text(machine.memory)} of memory."
    )


def _of_shared_memory(machine: Machine) -> list[str]:
    if machine.shared is None:
        return []
    most = max(_RAYS_LEAST_BYTES, int(0.95 * machine.shared))
    store = min(int(_RAYS_SHARE * machine.memory), most)
    if machine.shared >= store:
        return []
    return [
        f"/dev/shm has {size_text(machine.shared)} free, too little for Ray's object store of "
        f"{size_text(store)}, which therefore lies in {machine.temporary}, on disk, and is slower. "
        f"In a container, start it with --shm-size={math.ceil(store / 2**30)}g; else delete files "
        "in /dev/shm."
    ]


def _of_trials(needs: Needs) -> list[str]:
    if not needs.training:
        return []
    number = needs.num_workers
    trials = f"{number} trials at once take" if number > 1 else "One trial at a time takes"
    each = f" ({size_text(needs.trial)} each)" if number > 1 else ""
    return [f"Memory: {trials} about {size_text(number * needs.trial)}{each} beside the images."]


def _of_checkpoints(machine: Machine, needs: Needs) -> str:
    told = (
        f"Checkpoints: up to {size_text(needs.disk)} on disk ({size_text(needs.state)} each), of "
        f"which {size_text(needs.kept)} stay until the champion is chosen"
    )
    if machine.disk is None:
        return f"{told}."
    return f"{told}; {size_text(machine.disk)} are free."
