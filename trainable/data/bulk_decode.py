"""Decode all images of a source on all cores, and name the ones that cannot be."""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.image_decode import UNREADABLE, to_square
from trainable.data.image_sources import ImageSource

LARGEST_UNREADABLE_SHARE = 0.01
_CHUNK = 32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readable:
    """Which images of a source can be decoded, and what they are.

    Attributes:
        kept: Index in the source of each readable image.
        hashes: One number per readable image; equal for two images exactly if their bytes are.
        skipped: Name and reason of each image that is not readable.
    """

    kept: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    skipped: tuple[tuple[str, str], ...]


def decode_all(
    source: ImageSource, *, image_size: int, out: NDArray[np.uint8] | None = None
) -> Readable:
    """Decode every image, with a progress bar on a terminal.

    Args:
        source: The images.
        image_size: Side in pixels, at least 1.
        out: Filled with the images, shape image, height, width, channel; unreadable ones leave a
            gap. None only looks which images are readable.

    Raises:
        InputError: If more than 1 % of the images are unreadable.
    """
    # Late, because nothing is decoded where the images are cached.
    from tqdm import tqdm

    num_images = len(source)
    hashes = np.zeros(num_images, np.uint64)
    failures: dict[int, str] = {}

    def decode(start: int) -> int:
        stop = min(start + _CHUNK, num_images)
        for index in range(start, stop):
            try:
                square = to_square(source.read(index, image_size), image_size)
            except UNREADABLE as error:
                failures[index] = str(error) or type(error).__name__
                continue
            digest = hashlib.blake2b(square.data, digest_size=8).digest()
            hashes[index] = int.from_bytes(digest, "little")
            if out is not None:
                out[index] = square
        return stop - start

    # Threads are enough: Pillow decodes and resizes without holding the interpreter's lock.
    executor = ThreadPoolExecutor(num_cores())
    bar = tqdm(total=num_images, desc="Decoding images", unit="image", disable=None, leave=False)
    with bar, warnings.catch_warnings():
        # Pillow warns of odd metadata and large pictures; what it cannot decode is named below.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            starts = range(0, num_images, _CHUNK)
            for future in as_completed([executor.submit(decode, start) for start in starts]):
                bar.update(future.result())
        finally:
            # On Ctrl-C the queue may hold an hour of work.
            executor.shutdown(cancel_futures=True)
    skipped = tuple((source.name(index), failures[index]) for index in sorted(failures))
    if len(skipped) > LARGEST_UNREADABLE_SHARE * num_images:
        name, reason = skipped[0]
        raise InputError(
            f"At most 1 % of the images may be unreadable, but {len(skipped)} of {num_images} are; "
            f"the first is {name!r} ({reason})."
        )
    kept = np.setdiff1d(np.arange(num_images), np.array(sorted(failures), np.int64))
    return Readable(kept=kept, hashes=hashes[kept], skipped=skipped)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
