"""Loading of a dataset by name or path: images, labels and split."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.bulk_decode import Readable
from trainable.data.collecting import NAMED, collect
from trainable.data.file_facts import FileFacts
from trainable.data.groups import notes_on_groups
from trainable.data.hub.hub_source import HubSource
from trainable.data.image_cache import load_images
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection, FileSource
from trainable.data.near_copies import notes_on_near_copies
from trainable.data.notes import (
    notes_on_duplicates,
    notes_on_files,
    notes_on_missing_classes,
)
from trainable.data.place import short_name
from trainable.data.splits import Split, resplit, stratified_split, subset
from trainable.data.streamed_images import StreamedImages

LARGEST_VAL = 5_000
"""Largest number of validation images taken from an official training part.

Top-1 then has a standard error of about 0.4 %.
"""


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
        digest: Hash of images, labels and class names, 32 characters; of a table or with groups
            also of the split and the groups.
        notes: Sentences on the data for the user.
        files: Facts on the image files.
        groups: Group of each image, whose images stay in one part; None without groups.
    """

    name: str
    images: NDArray[np.uint8] | StreamedImages
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    split: Split
    digest: str
    notes: tuple[str, ...]
    files: FileFacts = field(default_factory=FileFacts)
    groups: NDArray[np.int64] | None = None

    @property
    def images_per_class(self) -> tuple[tuple[int, int, int], ...]:
        """Numbers of training, validation and test images of each class."""
        parts = (self.split.train, self.split.val, self.split.test)
        counts = [np.bincount(self.labels[p], minlength=len(self.class_names)) for p in parts]
        return tuple((int(a), int(b), int(c)) for a, b, c in zip(*counts, strict=True))

    @property
    def num_groups(self) -> tuple[int, int, int] | None:
        """Numbers of groups with training, validation and test images; None without groups."""
        if self.groups is None:
            return None
        parts = (self.split.train, self.split.val, self.split.test)
        train, val, test = (len(np.unique(self.groups[part])) for part in parts)
        return train, val, test

    @property
    def test_groups(self) -> tuple[int, ...]:
        """Group of each test image, in the order of the split; empty without groups."""
        return () if self.groups is None else tuple(self.groups[self.split.test].tolist())

    def fresh_split(self, seed: int) -> Split:
        """Divide training and validation images afresh; the test images stay."""
        return resplit(self.split, self.labels, seed=seed, groups=self.groups)


def load_dataset(
    name_or_path: str | Path,
    *,
    image_size: int,
    data_dir: Path,
    num_train: int | None,
    seed: int,
    max_pixels: int | None = None,
    columns: str | None = None,
    group_by: str | None = None,
) -> Dataset:
    """Find, decode and split a dataset.

    Test images are the same whatever the seed: the official ones, or drawn once and for all.
    Validation images are the official ones, or held out of training with the seed.

    Args:
        name_or_path: Name or path of the dataset, see `trainable.data.collecting.collect`.
        image_size: Side in pixels, at least 1.
        data_dir: Where datasets are kept and decoded images are cached.
        num_train: Training images to keep, class by class; None keeps all.
        seed: Seed of the division between train and validation and of the subset, at least 0.
        max_pixels: Pixels of the largest picture of a file that counts as readable; None for
            `trainable.data.decode_budget.MOST_PIXELS`.
        columns: Columns of a table of images, see `trainable.data.collecting.collect`.
        group_by: Regular expression for the groups of files, see there.

    Raises:
        InputError: If the dataset is not there and cannot be downloaded, or breaks a rule: too few
            images in a class, too many unreadable ones, a larger subset than there are images.
    """
    named = NAMED.get(str(name_or_path))
    collection = collect(name_or_path, data_dir=data_dir, columns=columns, group_by=group_by)
    group_names, groups = _numbered(collection.groups)
    split = _split(collection, groups, named.sizes if named else None, seed)
    if num_train is not None:
        split = subset(split, collection.labels, num_train, seed, groups=groups)
    if groups is not None:
        _check_parts(split, len(group_names))
    # Of ImageNet and a small subset, only the subset is decoded.
    used = np.sort(np.concatenate([split.train, split.val, split.test]))
    source = collection.source.pick(used)
    if max_pixels is not None and isinstance(source, FileSource | HubSource):
        source = source.with_most_pixels(max_pixels)
    # The digits are decoded faster than a cache of them is opened.
    is_tiny = named is not None and named.sizes is not None
    decoded = load_images(
        source, image_size=image_size, cache_dir=None if is_tiny else data_dir / "cache"
    )
    readable = decoded.readable
    split = _renumber(split, used[readable.kept])
    labels = collection.labels[used[readable.kept]]
    groups = None if groups is None else groups[used[readable.kept]]
    if readable.skipped or groups is not None:
        _check_trained(labels[split.train], collection.class_names)

    def name_of(index: int) -> str:
        return source.name(int(readable.kept[index]))

    notes = [
        *collection.notes,
        *notes_on_files(readable, len(used)),
        *([] if groups is None else notes_on_groups(split, groups, group_names)),
        *notes_on_missing_classes(labels, split, collection.class_names),
        *notes_on_duplicates(readable.hashes, split, name_of=name_of),
        *notes_on_near_copies(readable.thumbnails, readable.hashes, split, name_of=name_of),
    ]
    digest = _digest(readable, labels, collection.class_names)
    if groups is not None or collection.files.is_listed:
        # A table may be edited, a pattern typed anew, while all images stay.
        for numbers in (split.train, split.val, split.test, groups):
            digest.update(b"" if numbers is None else numbers.tobytes())
    num_deep = sum(scale.num_images for scale in readable.scales.values())
    return Dataset(
        name=str(name_or_path) if named else short_name(str(name_or_path)),
        images=decoded.images,
        labels=labels,
        class_names=collection.class_names,
        split=split,
        digest=digest.hexdigest(),
        notes=tuple(notes),
        files=replace(collection.files, num_deep=num_deep, num_turned=readable.num_turned),
        groups=groups,
    )


def _split(
    collection: Collection,
    groups: NDArray[np.int64] | None,
    sizes: tuple[int, int] | None,
    seed: int,
) -> Split:
    """Return the official split if there is one, else draw a stratified one."""
    labels, parts = collection.labels, collection.parts
    if parts is None:
        num_images = len(labels)
        # A fifth each to validate and test on, and at least one image of each class.
        held_out = max(round(0.2 * num_images), len(collection.class_names))
        num_train, num_val = sizes or (num_images - 2 * held_out, held_out)
        return stratified_split(
            labels, num_train=num_train, num_val=num_val, seed=seed, groups=groups
        )
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
        labels,
        num_train=len(train) - num_val,
        num_val=num_val,
        seed=seed,
        pool=train,
        groups=groups,
    )
    return replace(held_out_split, test=test)


def _numbered(groups: Sequence[str] | None) -> tuple[list[str], NDArray[np.int64] | None]:
    """Return the names of the groups, sorted, and the number of each image's group."""
    if groups is None:
        return [], None
    names = sorted(set(groups))
    number = {name: i for i, name in enumerate(names)}
    return names, np.array([number[name] for name in groups], np.int64)


def _check_parts(split: Split, num_groups: int) -> None:
    """Raise if groups are so few or so large that a part has no image."""
    for part in ("train", "val", "test"):
        if not len(getattr(split, part)):
            raise InputError(
                "Images of a group stay in one part, so that a class needs three groups to be in "
                f"all parts, but of the {num_groups} groups none is left for {part}; there must be "
                "more and smaller groups."
            )


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


def _digest(
    readable: Readable, labels: NDArray[np.int64], class_names: tuple[str, ...]
) -> "hashlib.blake2b":
    digest = hashlib.blake2b("\0".join(class_names).encode(), digest_size=16)
    digest.update(readable.hashes.tobytes())
    digest.update(labels.tobytes())
    for kind, scale in sorted(readable.scales.items()):
        # The hashes are of the stored values, while the trained ones also depend on the scale.
        digest.update(f"{kind} {scale.black_to_white}".encode())
    return digest
