"""A training epoch, data included, here and from timm's parts on the same image files."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pairs import Ratio, take_turns
from benchmarks.steps.step_models import NUM_CLASSES, RECIPES
from benchmarks.steps.timm_epoch import TimmTrainer
from spaces.recipe import Recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.trainer import Trainer

PHOTOS, SMALL_PHOTOS = "photos", "small-photos"
"""Crops of scikit-learn's two photographs, as JPEG: files that take as long to read as photos."""
PHOTO_SHAPES = {PHOTOS: (375, 500), SMALL_PHOTOS: (256, 256)}
"""Height and width: most photos of Oxford-IIIT Pet and ImageNet are as large as the first."""


def print_epochs(
    cases: Sequence[tuple[str, int]],
    *,
    names: Sequence[str],
    source: str,
    num_train: int,
    data_dir: Path,
    num_cores: int,
    rounds: int,
) -> None:
    """The table of ``epochs``."""
    # Threads and worker processes of both sides share the same cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])
    print(
        "| model | px | recipe | files | cores | decoding once, s | ours, images/s "
        "| timm channels-last, images/s | timm default, images/s | ours / timm channels-last "
        "| ours / timm default |"
    )
    print("| --- " * 11 + "|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / source
        write_folder(folder, source, num_train=num_train, data_dir=data_dir)
        for model, image_size in cases:
            for name in names:
                recipe = replace(RECIPES[name], model=model, image_size=image_size)
                started = time.perf_counter()
                dataset = load_dataset(
                    folder, image_size=image_size, data_dir=folder, num_train=None, seed=0
                )
                decoding_s = time.perf_counter() - started
                shutil.rmtree(folder / "cache")  # Or the next recipe would find it.
                sides = epoch_sides(recipe, folder, dataset, num_cores)
                clock = time.process_time if num_cores == 1 else time.perf_counter
                ours, last, default = take_turns(sides, rounds=rounds, clock=clock)
                num_images = num_train // recipe.batch_size * recipe.batch_size
                rates = [num_images / statistics.median(s) for s in (ours, last, default)]
                print(
                    f"| {model} | {image_size} | {name} | {source} | {num_cores} "
                    f"| {decoding_s:.1f} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[2]:.0f} "
                    f"| {Ratio.of(last, ours)} | {Ratio.of(default, ours)} |",
                    flush=True,
                )


def epoch_sides(
    recipe: Recipe, folder: Path, dataset: Dataset, num_cores: int
) -> list[Callable[[], object]]:
    """An epoch of ours, of timm with ``--channels-last`` and of timm as it comes."""
    trainer = Trainer(recipe, dataset, dataset.split)

    def ours() -> None:
        torch.set_num_threads(num_cores)
        trainer.train_epoch()

    def timm_with(num_workers: int, num_threads: int, channels_last: bool) -> TimmTrainer:
        return TimmTrainer(
            recipe,
            folder,
            num_workers=num_workers,
            channels_last=channels_last,
            num_threads=num_threads,
        )

    # How many processes read and how many threads compute is timm's user's choice: the best one.
    # On one core a second process only adds to the work.
    splits = {(0, num_cores)}
    if num_cores > 1:
        splits |= {(1, num_cores), (num_cores, num_cores), (1, num_cores - 1)}

    def epoch_s(split: tuple[int, int]) -> float:
        return take_turns([timm_with(*split, channels_last=True).train_epoch], rounds=1)[0][0]

    best = min(sorted(splits), key=epoch_s) if len(splits) > 1 else (0, num_cores)
    return [
        ours,
        timm_with(*best, channels_last=True).train_epoch,
        timm_with(*best, channels_last=False).train_epoch,
    ]


def write_folder(folder: Path, source: str, *, num_train: int, data_dir: Path) -> None:
    """Write ``train``, ``val`` and ``test`` with one folder per class, as image files."""
    for place, (pixels, label) in enumerate(stored_images(source, num_train, data_dir)):
        held_out = place - num_train  # One image per class and held-out part comes last.
        part = "train" if held_out < 0 else ("val", "test")[held_out // NUM_CLASSES]
        path = folder / part / f"class_{label}" / f"{place:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if source in PHOTO_SHAPES:
            Image.fromarray(pixels).save(path.with_suffix(".jpg"), quality=90)
        else:
            Image.fromarray(pixels).save(path.with_suffix(".png"))


def stored_images(
    source: str, num_train: int, data_dir: Path
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Images as they are stored, and their classes, which take turns."""
    num_images = num_train + 2 * NUM_CLASSES
    if source in PHOTO_SHAPES:
        from sklearn.datasets import load_sample_images

        photos = load_sample_images().images
        generator = np.random.default_rng(0)
        for place in range(num_images):
            photo = photos[place % len(photos)]
            height, width = PHOTO_SHAPES[source]
            top = int(generator.integers(0, photo.shape[0] - height))
            left = int(generator.integers(0, photo.shape[1] - width))
            yield photo[top : top + height, left : left + width], place % NUM_CLASSES
        return
    stored_px = {"digits": 8, "fashion-mnist": 28}[source]
    dataset = load_dataset(source, image_size=stored_px, data_dir=data_dir, num_train=None, seed=0)
    by_class = [iter(np.flatnonzero(dataset.labels == label)) for label in range(NUM_CLASSES)]
    for place in range(num_images):
        label = place % NUM_CLASSES
        index = np.array([next(by_class[label])])
        yield dataset.images[index][0], label
