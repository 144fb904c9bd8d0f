"""Groups of images that belong together: of one patient, camera or sequence."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.image_sources import Collection, FileSource, printable, shown
from trainable.data.splits import Split


def parse_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression whose first group names the group of an image.

    Raises:
        InputError: If it is no regular expression, or has no group in parentheses.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Of what other versions of Python read otherwise.
            pattern = re.compile(text)
    except (re.error, Warning, RecursionError, OverflowError) as error:
        said = printable(str(error))
        raise InputError(
            f"`group_by` must be a regular expression, but {shown(text)} is none: {said}."
        ) from error
    if not pattern.groups:
        raise InputError(
            "`group_by` must have a group in parentheses, such as (patient[0-9]+), but got "
            f"{shown(text)}."
        )
    return pattern


def grouped_by(collection: Collection, text: str) -> Collection:
    """Group images by what the first group of a regular expression finds in their paths.

    Args:
        collection: Images that are files.
        text: The expression; it is searched for anywhere in the path relative to the dataset.

    Raises:
        InputError: If it is wrong, or finds nothing in the path of an image.
    """
    pattern, source = parse_pattern(text), collection.source
    if not isinstance(source, FileSource):
        raise InputError(
            "`group_by` must be left out where images are no files with names; a dataset of "
            "Hugging Face may have a column of groups: --columns group=..."
        )
    groups = []
    for path in source.paths:
        match = pattern.search(path)
        if match is None or not match[1]:
            raise InputError(
                f"`group_by` must find a group in the path of every image, but {shown(text)} finds "
                f"none in {shown(path)}."
            )
        groups.append(match[1])
    return replace(collection, groups=groups)


def notes_on_groups(split: Split, numbers: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """Write how many groups there are, and a sentence for each pair of parts that share groups.

    Parts share groups only where they were given: splits that are drawn keep groups together.

    Args:
        split: The parts.
        numbers: Group of each image.
        names: Name of each group.
    """
    train, val, test = (
        len(np.unique(numbers[part])) for part in (split.train, split.val, split.test)
    )
    notes = [
        f"Images of a group stay together: {train} groups to train on, {val} to validate and "
        f"{test} to test on. They, and not the images, are the independent cases."
    ]
    for one, other in (("test", "train"), ("test", "val"), ("val", "train")):
        ours, theirs = (np.unique(numbers[getattr(split, part)]) for part in (one, other))
        shared = np.intersect1d(ours, theirs)
        if len(shared):
            notes.append(
                f"The given split tears groups apart: {len(shared)} of the {len(ours)} groups in "
                f"{one} lie in {other} too, such as {printable(names[shared[0]])}; results on "
                f"{one} are too good."
            )
    return notes
