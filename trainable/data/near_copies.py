"""Images of one part that look almost like an image of another part.

They are mostly of one patient, camera or sequence, or one picture saved twice. Candidates are found
by a perceptual hash, the signs of brightness differences between neighbouring boxes of an 8 x 8
grid, across and down (Krawetz 2013, "Kind of like that", http://www.hackerfactor.com/blog, has the
64 bits across). Of 128 bits at most `MOST_BITS` may differ. That alone takes shirts for copies of
shirts, so that the correlation of the two thumbnails must reach `LEAST_CORRELATION` too.

Of 1,000 test images of Fashion-MNIST 0.3 % pass both against 20,000 training images, and of 300
scikit-learn digits none against the others; crops of photographs pass after JPEG at quality 50, at
half the size, or brighter, and half of them when shifted by 1 of 128 pixels. Larger shifts do not.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainable.data.pixels.thumbnail import SIDE
from trainable.data.splits import Split

MOST_BITS = 10
LEAST_CORRELATION = 0.995
MOST_PAIRS = 20_000_000
"""Most pairs of images that are compared for two parts; of more, some images are drawn."""
LEAST_SHARE = 0.005
"""Share of a part from which on it is told: fewer change no result, and may be chance."""
_GRID = 8
_LEAST_CONTRAST = 2.0
"""Standard deviation below which a thumbnail is flat, in levels of 256: its hash is noise."""
_ROWS_BYTES = 2**25


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash thumbnails of shape image, row, column; returns shape image, 2: across and down."""
    boxes = _boxes(thumbnails.shape[1], _GRID + 1)
    means = np.einsum("ir,nrc,jc->nij", boxes, thumbnails.astype(np.float32), boxes, optimize=True)
    across = means[:, :_GRID, 1:] > means[:, :_GRID, :-1]
    down = means[:, 1:, :_GRID] > means[:, :-1, :_GRID]
    bits = np.stack([across, down], axis=1).reshape(len(thumbnails), 2, _GRID * _GRID)
    return np.packbits(bits, axis=2).view(np.uint64)[:, :, 0]


def notes_on_near_copies(
    thumbnails: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    split: Split,
    *,
    name_of: Callable[[int], str],
) -> list[str]:
    """Write a sentence for each pair of parts of which one has images that look as in the other.

    Exact copies are left to `trainable.data.notes.notes_on_duplicates`.

    Args:
        thumbnails: Of every image, shape image, `SIDE`, `SIDE`.
        hashes: One number per image; equal for equal images only.
        split: The parts.
        name_of: Returns what a person finds an image by, given its index.
    """
    looks = perceptual_hashes(thumbnails)
    is_flat = thumbnails.reshape(len(thumbnails), SIDE * SIDE).std(axis=1) < _LEAST_CONTRAST
    notes = []
    for one, other in (("test", "train"), ("test", "val"), ("val", "train")):
        ours, theirs = getattr(split, one), getattr(split, other)
        ours = ours[~np.isin(hashes[ours], hashes[theirs]) & ~is_flat[ours]]
        theirs = theirs[~is_flat[theirs]]
        if not len(ours) or not len(theirs):
            continue
        asked = _drawn(ours, max(1, MOST_PAIRS // len(theirs)))
        twins = _twins(thumbnails, looks, asked, theirs)
        found = np.flatnonzero(twins >= 0)
        if len(found) >= LEAST_SHARE * len(asked) and len(found):
            first, twin = int(asked[found[0]]), int(twins[found[0]])
            among = "" if len(asked) == len(ours) else " that were looked at"
            notes.append(
                f"Near copies: {len(found)} of {len(asked)} {one} images{among} look almost like "
                f"one in {other} ({len(found) / len(asked):.1%}), such as {name_of(first)} and "
                f"{name_of(twin)}. If they belong together (a patient, a sequence), keep them in "
                f"one part by groups; results on {one} are too good otherwise."
            )
    return notes


def _drawn(images: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Draw at most so many of the images, always the same ones, ascending."""
    if len(images) <= most:
        return images
    return np.sort(np.random.default_rng(0).choice(images, most, replace=False))


def _twins(
    thumbnails: NDArray[np.uint8],
    looks: NDArray[np.uint64],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return, for each of our images, the first of theirs that it looks like, else -1."""
    twins = np.full(len(ours), -1, np.int64)
    block = max(1, _ROWS_BYTES // (8 * len(theirs)))
    for start in range(0, len(ours), block):
        asked = ours[start : start + block]
        bits = sum(
            np.bitwise_count(looks[asked, None, way] ^ looks[None, theirs, way]) for way in (0, 1)
        )
        rows, columns = np.nonzero(bits <= MOST_BITS)
        one, other = asked[rows], theirs[columns]
        alike = _correlations(thumbnails[one], thumbnails[other]) >= LEAST_CORRELATION
        # Backwards, so that the first of several stays.
        twins[start + rows[alike][::-1]] = other[alike][::-1]
    return twins


def _correlations(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlate the grey levels of each pair of thumbnails, none of which is flat."""
    first, second = (x.reshape(len(x), SIDE * SIDE).astype(np.float64) for x in (one, other))
    first, second = (x - x.mean(axis=1, keepdims=True) for x in (first, second))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / norms)


def _boxes(num_pixels: int, num_boxes: int) -> NDArray[np.float32]:
    """Return the weights of the pixels of a line in the means of its equal boxes."""
    ends = np.linspace(0, num_pixels, num_boxes + 1)
    low, high, pixel = ends[:-1, None], ends[1:, None], np.arange(num_pixels)
    inside = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    weights: NDArray[np.float32] = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
