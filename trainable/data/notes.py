"""Sentences on a dataset that the user should read before training on it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainable.data.bulk_decode import Readable
from trainable.data.pixels.deep_grey import FEW_LEVELS, FLOATS, GreyScale
from trainable.data.splits import Split

_MOST_NAMED = 5


def notes_on_files(readable: Readable, num_images: int) -> list[str]:
    """Write sentences on unreadable files, and on values that are scaled or cut in decoding.

    Args:
        readable: Result of decoding.
        num_images: Number of files that were to be decoded.
    """
    notes = []
    if skipped := readable.skipped:
        named = _first_of([f"{name} ({reason})" for name, reason in skipped])
        notes.append(f"{len(skipped)} of {num_images} images are unreadable and left out: {named}.")
    notes += [_note_on_scale(kind, scale) for kind, scale in readable.scales.items()]
    if readable.num_cut:
        notes.append(
            f"{readable.num_cut} images have 16 bits a colour, of which the upper 8 are read; of a "
            "camera of fewer bits hardly anything is left: convert them to 8 bits first."
        )
    return notes


def notes_on_missing_classes(
    labels: NDArray[np.int64], split: Split, class_names: tuple[str, ...]
) -> list[str]:
    """Write sentences on classes without images in the validation or test part."""
    notes = []
    for part, said in (("val", "validated"), ("test", "tested")):
        missing = np.setdiff1d(np.arange(len(class_names)), labels[getattr(split, part)])
        # A part without any image is a matter of its own.
        if len(missing) and len(getattr(split, part)):
            named = _first_of([class_names[i] for i in missing.tolist()])
            notes.append(
                f"{len(missing)} of {len(class_names)} classes have no image in {part}, so that "
                f"they are not {said}: {named}."
            )
    return notes


def _note_on_scale(kind: str, scale: GreyScale) -> str:
    low, high = scale.black_to_white.low, scale.black_to_white.high
    what = "greyscale in floating point" if kind == FLOATS else "greyscale of more than 8 bits"
    note = (
        f"{scale.num_images} images are {what}; one scale brings all of them to 8 bits: {low:.6g} "
        f"is black and {high:.6g} is white, the lowest and highest value in the dataset, test "
        "images included (a change of unit)."
    )
    if scale.typical_levels < FEW_LEVELS:
        note += (
            f" Rare extreme values make the rest dark and flat: half of them use at most "
            f"{scale.typical_levels} of its 256 grey levels. Clip those values, if they mean "
            "nothing."
        )
    return note


def _first_of(items: list[str]) -> str:
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(items[:_MOST_NAMED]) + more


def notes_on_duplicates(
    hashes: NDArray[np.uint64], split: Split, *, name_of: Callable[[int], str]
) -> list[str]:
    """Find images whose bytes, as the model sees them, occur in more than one part.

    Args:
        hashes: One number per image; equal for equal images only.
        split: The parts.
        name_of: What a person finds an image by, given its index.

    Returns:
        One sentence for each pair of parts that share images, or nothing.
    """
    notes = []
    pairs = [("test", "train"), ("test", "val"), ("val", "train")]
    for one, other in pairs:
        ours, theirs = getattr(split, one), getattr(split, other)
        twice = ours[np.isin(hashes[ours], hashes[theirs])]
        if len(twice):
            first = int(twice[0])
            twin = int(theirs[np.argmax(hashes[theirs] == hashes[first])])
            notes.append(
                f"Exact copies: {len(twice)} of {len(ours)} {one} images lie in {other} too, such "
                f"as {name_of(first)} = {name_of(twin)}."
            )
    return notes
