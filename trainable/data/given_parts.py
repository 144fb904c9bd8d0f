"""Rules for the classes of a dataset and for a split that comes with it."""

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection, printable

SMALLEST_CLASS = 3
"""Smallest number of images of a class: one each for training, validation and test."""


def with_test_part(parts: NDArray[np.int8]) -> tuple[NDArray[np.int8], list[str]]:
    """Make ``val`` the test part where there is no test part, and say so in a note."""
    if TEST in parts:
        return parts, []
    tested = np.where(parts == VAL, np.int8(TEST), parts)
    return tested, ["No `test` part: `val` is tested on, validation is held out of `train`."]


def require_classes(collection: Collection, where: str) -> None:
    """Raise if a class has too few images for every part, or none to train on.

    Args:
        collection: The images.
        where: Path of the dataset, for the message.

    Raises:
        InputError: If a class has fewer than three images, or none in a given ``train``.
    """
    num_classes = len(collection.class_names)
    counts = np.bincount(collection.labels, minlength=num_classes)
    if counts.min() < SMALLEST_CLASS:
        name = collection.class_names[int(counts.argmin())]
        raise InputError(
            f"Every class must have at least {SMALLEST_CLASS} images, but {name!r} of {where} has "
            f"{counts.min()}."
        )
    if collection.parts is not None:
        trained = np.bincount(collection.labels[collection.parts == TRAIN], minlength=num_classes)
        if trained.min() == 0:
            name = collection.class_names[int(trained.argmin())]
            raise InputError(f"Every class must have images in `train`, but {name!r} has none.")


def require_printable(class_names: tuple[str, ...], where: str) -> None:
    """Raise if the name of a class holds control characters or the like.

    Raises:
        InputError: If one does.
    """
    for name in class_names:
        if printable(name) != name:
            raise InputError(
                f"The name of a class must be text without control characters, but {where} "
                f"{printable(name)!r}."
            )
