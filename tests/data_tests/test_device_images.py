"""Images get to the device as they are, and a step never waits for it."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spaces.recipe import RandAugment, Recipe
from tests.support.toy_training import TOY, toy_dataset
from trainable.data.datasets import Dataset
from trainable.data.device_images import LARGEST_SHARE, DeviceImages
from trainable.data.image_sources import FileSource
from trainable.data.streamed_images import StreamedImages
from trainable.precision import Precision
from trainable.to_device import send
from trainable.trainer import Trainer

CPU, META = torch.device("cpu"), torch.device("meta")
DATASET = toy_dataset()
NEEDED_BYTES = int(np.prod(DATASET.images.shape))
ALL_AUGMENTATION = replace(
    TOY,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    randaugment=RandAugment(num_ops=2, magnitude=9),
    crop_scale_min=0.5,
    hflip=0.5,
    erasing=0.5,
)


@pytest.mark.parametrize("free_bytes", [0, 10 * NEEDED_BYTES])
def test_a_batch_is_the_same_wherever_it_is_gathered(free_bytes: int) -> None:
    images = DeviceImages(DATASET, CPU, free_bytes=free_bytes)
    indices = np.array([5, 0, 47, 5])
    batch, labels = images.batch(indices)
    assert images.is_resident is (free_bytes > 0)
    assert np.array_equal(batch.numpy(), np.asarray(DATASET.images)[indices])
    assert np.array_equal(images[indices].numpy(), batch.numpy())
    assert labels.tolist() == DATASET.labels[indices].tolist()


@pytest.mark.parametrize(("spare_bytes", "fits"), [(0, True), (-1, False)])
def test_images_stay_on_the_device_up_to_their_share_of_its_free_memory(
    spare_bytes: int, fits: bool
) -> None:
    free_bytes = int(NEEDED_BYTES / LARGEST_SHARE) + spare_bytes
    assert DeviceImages(DATASET, CPU, free_bytes=free_bytes).is_resident is fits


def test_a_copy_is_complete_also_in_chunks_and_from_a_read_only_map(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("trainable.data.device_images._CHUNK_BYTES", 5 * 16 * 16 * 3 + 1)
    np.save(tmp_path / "images.npy", np.asarray(DATASET.images))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = DeviceImages(replace(DATASET, images=mapped), CPU, free_bytes=10 * NEEDED_BYTES)
    everything = np.arange(len(mapped))
    assert np.array_equal(images[everything].numpy(), mapped)


def test_images_that_stream_from_files_stay_there(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (10, 20, 30)).save(tmp_path / "one.png")
    streamed = StreamedImages(FileSource(tmp_path, ["one.png"]), np.array([0]), 16)
    dataset = replace(DATASET, images=streamed, labels=np.array([2]))
    images = DeviceImages(dataset, CPU, free_bytes=10**12)
    batch, labels = images.batch(np.array([0, 0]))
    assert not images.is_resident
    assert batch[1, 3, 3].tolist() == [10, 20, 30]
    assert labels.tolist() == [2, 2]


def test_on_a_cpu_nothing_is_copied_by_itself() -> None:
    assert not DeviceImages(DATASET, CPU).is_resident
    values = torch.arange(3)
    assert send(values, CPU) is values


@pytest.mark.parametrize("free_bytes", [0, 10 * NEEDED_BYTES])
def test_where_images_are_kept_changes_no_bit_of_a_run(free_bytes: int) -> None:
    runs = []
    for images in (None, DeviceImages(DATASET, CPU, free_bytes=free_bytes)):
        run = Trainer(ALL_AUGMENTATION, DATASET, DATASET.split, images=images)
        run.train_epoch()
        runs.append(
            [*run.model.state_dict().values(), run.measure("test").shipped["test"].nll.sum()]
        )
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def on_a_device_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, dataset: Dataset, *, resident: bool
) -> Trainer:
    """A trainer whose weights, images and gradients have shapes and no content.

    Reading any of them on the host, as `.item()`, `bool(tensor)` or a copy would, raises: on a CUDA
    device each of these would wait until the device has caught up.
    """
    module = importlib.import_module("torch.optim.optimizer")  # Hidden by a class of that name.
    monkeypatch.setattr(module, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    free_bytes = 10 * NEEDED_BYTES if resident else 0
    images = DeviceImages(dataset, META, free_bytes=free_bytes)
    assert images.is_resident is resident
    return Trainer(recipe, dataset, dataset.split, device=META, images=images)


@pytest.mark.parametrize(
    ("recipe", "resident"),
    [
        (ALL_AUGMENTATION, True),
        (ALL_AUGMENTATION, False),
        (replace(TOY, optimizer="adam", grad_accum_steps=2), True),
        (replace(TOY, optimizer="sam"), True),
    ],
)
def test_no_step_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, resident: bool
) -> None:
    run = on_a_device_that_cannot_be_asked(monkeypatch, recipe, DATASET, resident=resident)
    run.model.train()
    for _ in range(3):  # Enough for RandAugment to draw most of its operations.
        loss = run._step(DATASET.split.train[:8])
    assert loss.device == META
    assert run.precision.num_steps == 3


def test_the_device_that_cannot_be_asked_would_show_a_step_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = on_a_device_that_cannot_be_asked(monkeypatch, TOY, DATASET, resident=True)
    run.model.train()
    run.precision = Precision(None, META, ask_later=False)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run._step(DATASET.split.train[:8])
