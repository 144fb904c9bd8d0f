"""Decoding of all images of a source on all cores, with a list of unreadable ones."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.decode_budget import BUDGET
from trainable.data.image_sources import ImageSource
from trainable.data.pixels.deep_grey import (
    GreyRange,
    GreyScale,
    GreyScales,
    hash_of,
    kind_of,
    range_of,
)
from trainable.data.pixels.image_decode import (
    UnreadableImageError,
    is_cut,
    is_turned,
    quiet_pillow,
    to_square,
)
from trainable.data.pixels.thumbnail import SIDE, thumbnail

LARGEST_UNREADABLE_SHARE = 0.01
_CHUNK = 32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readable:
    """The readable images of a source, with hashes and facts.

    Attributes:
        kept: Index in the source of each readable image.
        hashes: One number per readable image; equal exactly for images with equal pixels, before
            any scaling of greyscale.
        skipped: Name and reason of each image that is not readable.
        scales: Values of black and white in greyscale of more than 8 bits.
        num_cut: Number of images with 16 bits per colour, of which the upper 8 are read.
        num_turned: Number of images that are rotated or mirrored because of their EXIF data.
        thumbnails: Tiny grey pictures of the images (`trainable.data.pixels.thumbnail`), shape
            image, row, column.
    """

    kept: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    skipped: tuple[tuple[str, str], ...]
    thumbnails: NDArray[np.uint8]
    scales: GreyScales = field(default_factory=dict)
    num_cut: int = 0
    num_turned: int = 0


def decode_all(
    source: ImageSource, *, image_size: int, out: NDArray[np.uint8] | None = None
) -> Readable:
    """Decode every image, with a progress bar on a terminal.

    Greyscale of more than 8 bits is decoded twice, as the range over all images is needed first.

    Args:
        source: The images.
        image_size: Side in pixels, at least 1.
        out: Filled with the images, shape image, height, width, channel; unreadable ones leave a
            gap. None only looks which images are readable.

    Raises:
        InputError: If more than 1 % of the images are unreadable.
    """
    num_images = len(source)
    hashes = np.zeros(num_images, np.uint64)
    thumbnails = np.zeros((num_images, SIDE, SIDE), np.uint8)
    failures: dict[int, str] = {}
    deep: dict[int, tuple[str, GreyRange]] = {}
    cut, turned = np.zeros(num_images, bool), np.zeros(num_images, bool)

    def first_look(index: int) -> None:
        image = source.read(index, image_size)
        cut[index], turned[index] = is_cut(image), is_turned(image)
        if (kind := kind_of(image)) is not None:
            deep[index] = (kind, range_of(image))
            digest = hash_of(image)
            # By its own black and white, which changes the contrast alone.
            thumbnails[index] = thumbnail(to_square(image, image_size))
        else:
            square = to_square(image, image_size)
            thumbnails[index] = thumbnail(square)
            digest = hashlib.blake2b(square.data, digest_size=8).digest()
            if out is not None:
                out[index] = square
        hashes[index] = int.from_bytes(digest, "little")

    _each(range(num_images), first_look, failures)
    _check_few_fail(source, failures)
    scales = _scales(deep)
    if out is not None and deep:

        def second_look(index: int) -> None:
            out[index] = to_square(source.read(index, image_size), image_size, scales=scales)

        _each(sorted(deep), second_look, failures)
        _check_few_fail(source, failures)
    kept = np.setdiff1d(np.arange(num_images), np.array(sorted(failures), np.int64))
    return Readable(
        kept=kept,
        hashes=hashes[kept],
        thumbnails=thumbnails[kept],
        skipped=tuple((source.name(index), failures[index]) for index in sorted(failures)),
        scales=scales,
        num_cut=int(cut[kept].sum()),
        num_turned=int(turned[kept].sum()),
    )


def num_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _each(indices: Iterable[int], look: Callable[[int], None], failures: dict[int, str]) -> None:
    """Call ``look`` for images on all cores; add the reasons of unreadable ones to ``failures``."""
    # Late, because nothing is decoded where the images are cached.
    from tqdm import tqdm

    def look_at(chunk: list[int]) -> int:
        for index in chunk:
            try:
                with BUDGET.picture():
                    look(index)
            except UnreadableImageError as error:
                failures[index] = str(error)
        return len(chunk)

    everything = list(indices)
    chunks = [everything[start : start + _CHUNK] for start in range(0, len(everything), _CHUNK)]
    # Threads are enough: Pillow decodes and resizes without holding the interpreter's lock.
    executor = ThreadPoolExecutor(num_cores())
    bar = tqdm(
        total=len(everything), desc="Decoding images", unit="image", disable=None, leave=False
    )
    with bar, quiet_pillow():
        try:
            for future in as_completed([executor.submit(look_at, chunk) for chunk in chunks]):
                bar.update(future.result())
        finally:
            # On Ctrl-C the queue may hold an hour of work.
            executor.shutdown(cancel_futures=True)


def _check_few_fail(source: ImageSource, failures: dict[int, str]) -> None:
    if len(failures) > LARGEST_UNREADABLE_SHARE * len(source):
        first = min(failures)
        raise InputError(
            f"At most 1 % of the images may be unreadable, but {len(failures)} of {len(source)} "
            f"are; the first is {source.name(first)!r} ({failures[first]})."
        )


def _scales(deep: dict[int, tuple[str, GreyRange]]) -> dict[str, GreyScale]:
    """Make one scale for each kind of deep greyscale that occurs."""
    kinds = sorted({kind for kind, _ in deep.values()})
    return {
        kind: GreyScale.of(found for its_kind, found in deep.values() if its_kind == kind)
        for kind in kinds
    }
