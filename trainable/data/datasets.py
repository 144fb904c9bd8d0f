"""Loading of a dataset by name or path: images, labels and split."""

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.data import public_datasets
from trainable.data.bulk_decode import Readable
from trainable.data.file_facts import FileFacts
from trainable.data.folders.folder_walk import is_folder
from trainable.data.folders.image_folder import list_image_folder
from trainable.data.folders.kept_images import require_kept
from trainable.data.image_cache import load_images
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection, FileSource, printable
from trainable.data.notes import (
    notes_on_duplicates,
    notes_on_files,
    notes_on_missing_classes,
)
from trainable.data.pixels.image_decode import UnreadableImageError, quiet_pillow
from trainable.data.splits import Split, stratified_split, subset
from trainable.data.streamed_images import StreamedImages

LARGEST_VAL = 5_000
"""Largest number of validation images taken from an official training part.

Top-1 then has a standard error of about 0.4 %.
"""
_TRANSFER = Recipe(model="tf_efficientnet_lite0", pretrained=True, epochs=15, batch_size=32)
_PHOTOS = replace(_TRANSFER, image_size=128, epochs=20, hflip=0.5)
_SCRATCH = Recipe(model="resnet18_cifar", epochs=30, batch_size=128, hflip=0.5)
_FOLDER_SIZES = (32, 64, 96, 128)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """Labelled images of one size, held once and read by every trial.

    Attributes:
        name: Name as the user gave it; a path is shortened to its last part.
        images: Indexed by an array of integers, returns bytes of shape image, height, width, 3. An
            array, a read-only memory map, or `StreamedImages`.
        labels: Class of each image, from 0.
        class_names: Name of each class.
        split: Indices of the training, validation and test images; every image is in one part.
        digest: Hash of images, labels and class names, 32 characters.
        notes: Sentences on the data for the user.
        files: Facts on the image files.
    """

    name: str
    images: NDArray[np.uint8] | StreamedImages
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    split: Split
    digest: str
    notes: tuple[str, ...]
    files: FileFacts = field(default_factory=FileFacts)

    @property
    def images_per_class(self) -> tuple[tuple[int, int, int], ...]:
        """Numbers of training, validation and test images of each class."""
        parts = (self.split.train, self.split.val, self.split.test)
        counts = [np.bincount(self.labels[p], minlength=len(self.class_names)) for p in parts]
        return tuple((int(a), int(b), int(c)) for a, b, c in zip(*counts, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Named:
    """The definition of a named dataset.

    Attributes:
        collect: Lists its images, given the data directory.
        recipe: Defaults of the run, without any regularizer.
        sizes: Training and validation images where there is no official split.
    """

    collect: Callable[[Path], Collection]
    recipe: Recipe
    sizes: tuple[int, int] | None = None


_NAMED = {
    "small-transfer": _Named(collect=public_datasets.digits, recipe=_TRANSFER, sizes=(300, 300)),
    "digits": _Named(collect=public_datasets.digits, recipe=_TRANSFER, sizes=(1077, 360)),
    "fashion-mnist": _Named(collect=public_datasets.fashion_mnist, recipe=_TRANSFER),
    "cifar10": _Named(collect=public_datasets.cifar10, recipe=_SCRATCH),
    "cifar100": _Named(collect=public_datasets.cifar100, recipe=_SCRATCH),
    "flowers102": _Named(collect=public_datasets.flowers102, recipe=_PHOTOS),
    "oxford-pets": _Named(collect=public_datasets.oxford_pets, recipe=_PHOTOS),
    "stl10": _Named(collect=public_datasets.stl10, recipe=replace(_PHOTOS, image_size=96)),
}


def dataset_names() -> tuple[str, ...]:
    """Return the names of datasets that `load_dataset` accepts beside paths of image folders."""
    return tuple(_NAMED)


def default_recipe(name_or_path: str | Path) -> Recipe:
    """Return the default recipe of a dataset, with all strengths off.

    An image folder is trained at 32, 64, 96 or 128 px, whichever comes closest to its images
    without enlarging them.

    Raises:
        InputError: If there is neither a dataset nor an image folder of this name.
    """
    if str(name_or_path) in _NAMED:
        return _NAMED[str(name_or_path)].recipe
    short_side = _typical_short_side(_list_folder(name_or_path))
    fitting = [size for size in _FOLDER_SIZES if size <= short_side]
    return replace(_PHOTOS, image_size=max(fitting, default=_FOLDER_SIZES[0]))


def load_dataset(
    name_or_path: str | Path,
    *,
    image_size: int,
    data_dir: Path,
    num_train: int | None,
    seed: int,
    max_pixels: int | None = None,
) -> Dataset:
    """Find, decode and split a dataset.

    Test images are the same whatever the seed: the official ones, or drawn once and for all.
    Validation images are the official ones, or held out of training with the seed.

    Args:
        name_or_path: One of `dataset_names`, or the path of an image folder.
        image_size: Side in pixels, at least 1.
        data_dir: Where datasets are kept and decoded images are cached.
        num_train: Training images to keep, class by class; None keeps all.
        seed: Seed of the division between train and validation and of the subset, at least 0.
        max_pixels: Pixels of the largest picture of a file that counts as readable; None for
            `trainable.data.decode_budget.MOST_PIXELS`.

    Raises:
        InputError: If the dataset is not there and cannot be downloaded, or breaks a rule: too few
            images in a class, too many unreadable ones, a larger subset than there are images.
    """
    named = _NAMED.get(str(name_or_path))
    collection = named.collect(data_dir) if named else _list_folder(name_or_path)
    split = _split(collection, named.sizes if named else None, seed)
    if num_train is not None:
        split = subset(split, collection.labels, num_train, seed)
    # Of ImageNet and a small subset, only the subset is decoded.
    used = np.sort(np.concatenate([split.train, split.val, split.test]))
    source = collection.source.pick(used)
    if max_pixels is not None and isinstance(source, FileSource):
        source = source.with_most_pixels(max_pixels)
    # The digits are decoded faster than a cache of them is opened.
    is_tiny = named is not None and named.sizes is not None
    decoded = load_images(
        source, image_size=image_size, cache_dir=None if is_tiny else data_dir / "cache"
    )
    readable = decoded.readable
    split = _renumber(split, used[readable.kept])
    labels = collection.labels[used[readable.kept]]
    if readable.skipped:
        _check_trained(labels[split.train], collection.class_names)
    notes = [
        *collection.notes,
        *notes_on_files(readable, len(used)),
        *notes_on_missing_classes(labels, split, collection.class_names),
        *notes_on_duplicates(
            readable.hashes, split, name_of=lambda i: source.name(int(readable.kept[i]))
        ),
    ]
    num_deep = sum(scale.num_images for scale in readable.scales.values())
    return Dataset(
        name=str(name_or_path) if named else _folder_name(str(name_or_path)),
        images=decoded.images,
        labels=labels,
        class_names=collection.class_names,
        split=split,
        digest=_digest(readable, labels, collection.class_names),
        notes=tuple(notes),
        files=replace(collection.files, num_deep=num_deep, num_turned=readable.num_turned),
    )


def _split(collection: Collection, sizes: tuple[int, int] | None, seed: int) -> Split:
    """Return the official split if there is one, else draw a stratified one."""
    labels, parts = collection.labels, collection.parts
    if parts is None:
        num_images = len(labels)
        # A fifth each to validate and test on, and at least one image of each class.
        held_out = max(round(0.2 * num_images), len(collection.class_names))
        num_train, num_val = sizes or (num_images - 2 * held_out, held_out)
        return stratified_split(labels, num_train=num_train, num_val=num_val, seed=seed)
    train, val, test = (np.flatnonzero(parts == part) for part in (TRAIN, VAL, TEST))
    if len(val):
        return Split(train=train, val=val, test=test)
    num_classes = len(collection.class_names)
    num_val = min(LARGEST_VAL, max(len(train) // 5, num_classes))
    if len(train) < num_classes + num_val:
        raise InputError(
            "To hold validation images out of it, `train` must have at least two images per class, "
            f"but it has {len(train)} of {num_classes} classes."
        )
    held_out_split = stratified_split(
        labels, num_train=len(train) - num_val, num_val=num_val, seed=seed, pool=train
    )
    return replace(held_out_split, test=test)


def _list_folder(name_or_path: str | Path) -> Collection:
    """List an image folder; if there is none, raise with the most similar name of a dataset."""
    text = str(name_or_path)
    root = _expanded(text)
    if "/" not in text and not is_folder(root):
        close = difflib.get_close_matches(text, _NAMED, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"`dataset` must be one of {', '.join(_NAMED)}, or the path of an image folder, but "
            f"got {text!r}.{hint}"
        )
    require_kept(root)
    return list_image_folder(root)


def _folder_name(text: str) -> str:
    return printable(Path(os.path.realpath(_expanded(text))).name)


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # There is no such user.
        return Path(text)


def _renumber(split: Split, kept: NDArray[np.int64]) -> Split:
    """Renumber a split by the index in ``kept``; images that are not in it are left out."""

    def places(part: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(kept, part[np.isin(part, kept)]).astype(np.int64)

    return Split(train=places(split.train), val=places(split.val), test=places(split.test))


def _check_trained(labels: NDArray[np.int64], class_names: tuple[str, ...]) -> None:
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        raise InputError(
            f"Every class must have readable images to train on, but {class_names[missing[0]]!r} "
            "has none."
        )


def _typical_short_side(collection: Collection) -> float:
    """Return the median shorter side of up to 64 images, read from their headers."""
    source = collection.source
    sides = []
    with quiet_pillow():
        for index in np.linspace(0, len(source) - 1, min(len(source), 64)).astype(int).tolist():
            try:
                sides.append(min(source.size(index)))
            except UnreadableImageError:
                continue  # `load_dataset` names it.
    return float(np.median(sides)) if sides else 0.0


def _digest(readable: Readable, labels: NDArray[np.int64], class_names: tuple[str, ...]) -> str:
    digest = hashlib.blake2b("\0".join(class_names).encode(), digest_size=16)
    digest.update(readable.hashes.tobytes())
    digest.update(labels.tobytes())
    for kind, scale in sorted(readable.scales.items()):
        # The hashes are of the stored values, while the trained ones also depend on the scale.
        digest.update(f"{kind} {scale.black_to_white}".encode())
    return digest.hexdigest()
