"""Memory and disk that the trials of a run need, and the refusal of plans that do not fit."""

import os
from dataclasses import dataclass
from math import floor

from search.plan.config import RunConfig
from search.plan.machine import Machine, size_text
from search.plan.stage_size import FEW_SEEDS
from spaces.errors import InputError
from trainable import accelerator
from trainable.data.datasets import Dataset
from trainable.data.streamed_images import StreamedImages

KEPT_RUNS = 5
"""Confirmation runs that leave their weights: one seed of each recipe."""
LENT_RUNS = 4
"""Runs of a seed that leave weights until they are averaged with the last one's."""
MOST_LENT = LENT_RUNS * FEW_SEEDS
"""The same of all seeds for which that is done."""
WORKER_BYTES = 500 * 10**6
"""Memory of a worker before it trains: Python, PyTorch, timm and Ray; 503 MB measured on Linux."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """Needs of the trials of a run, in bytes.

    Attributes:
        num_workers: Trials that run at once.
        training: Measured memory of a trial beside its process, or 0 if it was not measured.
        state: Size of a checkpoint, or 0 if unknown.
        images: Images that are held in memory for all trials; 0 if they are streamed.
        makes_soup: Whether final weights are kept until those of a seed are averaged.
    """

    num_workers: int
    training: int
    state: int
    images: int
    makes_soup: bool = False

    @property
    def trial(self) -> int:
        """Memory of one trial with its process."""
        # Beside what training needs, an average of weights takes five sets of them: the run's own,
        # the mean, the next one with it, what is added, and a model; a checkpoint has two or more.
        return WORKER_BYTES + self.training + (5 * self.state // 2 if self.makes_soup else 0)

    @property
    def memory(self) -> int:
        """Memory of all trials at once and of the images."""
        return self.images + self.num_workers * self.trial

    @property
    def kept(self) -> int:
        """Disk of the weights that stay until the champion is chosen."""
        return KEPT_RUNS * self.state

    @property
    def disk(self) -> int:
        """Disk of the checkpoints, at most."""
        # Weights alone are a checkpoint at most, which has the optimizer's state too; those of a
        # seed go once they are averaged, while workers train the next.
        lent = min(MOST_LENT, LENT_RUNS + self.num_workers) if self.makes_soup else 0
        # A new checkpoint is complete before the old one goes.
        return self.kept + 2 * self.num_workers * self.state + lent * self.state


def needs_of(
    dataset: Dataset,
    *,
    num_workers: int,
    training_bytes: int,
    state_bytes: int,
    makes_soup: bool = False,
) -> Needs:
    """The needs of trials on a dataset; see `Needs` for the arguments."""
    images = dataset.images
    return Needs(
        num_workers=num_workers,
        training=training_bytes,
        state=state_bytes,
        images=0 if isinstance(images, StreamedImages) else images.nbytes,
        makes_soup=makes_soup,
    )


def require_memory(needs: Needs, config: RunConfig, machine: Machine) -> None:
    """Raise if trials do not fit into the machine's memory.

    Images are streamed by then if they are too many, so that nothing else can give way. On a
    cluster trials run on other machines, whose memory is theirs.

    Raises:
        InputError: If they do not; one line with what is needed, what is there, and ways out.
    """
    if needs.training and not config.ray_address and needs.memory > machine.memory:
        raise InputError(_of_memory(needs, config, machine))


def require_room(needs: Needs, config: RunConfig, machine: Machine) -> None:
    """Raise if trials do not fit into the machine's memory or their checkpoints onto its disk.

    Raises:
        InputError: If they do not; one line with what is needed, what is there, and ways out.
    """
    require_memory(needs, config, machine)
    if "confirm" not in config.stages or machine.disk is None or needs.disk <= machine.disk:
        return
    where = "--storage" if config.storage else "--run-dir"
    raise InputError(
        f"Checkpoints of {size_text(needs.state)} each need up to {size_text(needs.disk)} under "
        f"{config.storage or config.run_dir}, but {size_text(machine.disk)} are free: give a "
        f"{where} with more room, or a smaller --model."
    )


def _of_memory(needs: Needs, config: RunConfig, machine: Machine) -> str:
    number, held = needs.num_workers, size_text(needs.images)
    who = f"The {number} trials at once need" if number > 1 else "A trial needs"
    each = " each" if number > 1 else ""
    images = f", beside images of {held}" if needs.images else ""
    fitting = max(0, machine.memory - needs.images) // needs.trial
    return (
        f"{who} about {size_text(needs.trial)} of memory{each}{images}, but this machine has "
        f"{size_text(machine.memory)}: give {_fewer(config, fitting)}a smaller --batch-size, "
        "--image-size or --model."
    )


def _fewer(config: RunConfig, fitting: int) -> str:
    """Name the flag by which so many trials run at once; empty if no value of it does."""
    name = "gpus_per_trial" if config.gpus_per_trial > 0 else "cpus_per_trial"
    total = accelerator.num_devices() if name == "gpus_per_trial" else os.cpu_count() or 1
    if fitting < (total if name == "gpus_per_trial" else 1):
        return ""  # A trial takes one GPU at most, so that every GPU has one.
    return f"--{name.replace('_', '-')} {_share(total, fitting):g} for {fitting} at once, or "


def _share(total: int, fitting: int) -> float:
    """The share of which so many and not one more fit into the total, in few digits."""
    for digits in range(5):
        scale: int = 10**digits
        share = floor(total / fitting * scale) / scale
        if share > 0.0 and int(total / share) == fitting:
            return share
    return total / fitting
