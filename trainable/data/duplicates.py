"""Images that occur in two parts of a split: a model is then tested on what it was trained on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainable.data.splits import Split


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
