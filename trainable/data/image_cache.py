"""Cache of decoded, square images that all trials share.

The cache of a source is three files, named after what decides their content: the images, their
hashes and thumbnails (both in numpy's format), and a JSON file that is written last. Nothing is
trusted without that last file, so a build that was killed at any moment is simply built again.
"""

import hashlib
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.bulk_decode import Readable, decode_all
from trainable.data.cache_facts import facts_text, read_facts
from trainable.data.image_sources import ImageSource
from trainable.data.memory import memory_of_machine
from trainable.data.pixels.thumbnail import SIDE
from trainable.data.streamed_images import StreamedImages
from trainable.whole_file import NoLocksError, commit, lock

LAYOUT = 3
"""Version of the cache, increased when decoding changes; other versions are not read."""
_RESERVE_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedImages:
    """The decoded images of a source.

    Attributes:
        images: Indexed by an array of integers, returns bytes of shape image, height, width,
            channel. Unreadable images are left out.
        readable: Indices of these images in the source, with hashes and facts.
    """

    images: NDArray[np.uint8] | StreamedImages
    readable: Readable


def load_images(
    source: ImageSource,
    *,
    image_size: int,
    cache_dir: Path | None,
    memory_bytes: int | None = None,
) -> DecodedImages:
    """Load the images of a source from the cache, or decode them and write the cache.

    Images that take more than a quarter of memory are read through once, to find unreadable files
    and duplicates, and decoded again on access.

    Args:
        source: The images.
        image_size: Side in pixels, at least 1.
        cache_dir: Folder of the cache, made if need be; None decodes into memory.
        memory_bytes: Memory of this machine; None asks the machine.

    Raises:
        InputError: If more than 1 % of the images are unreadable, or the cache cannot be written.
    """
    shape = (len(source), image_size, image_size, 3)
    if cache_dir is None:
        squares = np.empty(shape, np.uint8)
        readable = decode_all(source, image_size=image_size, out=squares)
        return DecodedImages(images=squares[readable.kept], readable=readable)
    memory = memory_of_machine() if memory_bytes is None else memory_bytes
    cache = _Cache(
        cache_dir, source, image_size, has_images=not is_streamed(shape, memory_bytes=memory)
    )
    found = cache.read()
    if found is None:
        with cache.lock():
            # Another process may have built it while this one waited.
            if (found := cache.read()) is None:
                cache.build()
                found = cache.read()
    assert found is not None
    return found


def is_streamed(shape: tuple[int, ...], *, memory_bytes: int) -> bool:
    """Whether images of that shape, in bytes, take more than a quarter of memory."""
    return math.prod(shape) > memory_bytes / 4


class _Cache:
    """The cache files of one source at one image size."""

    def __init__(
        self, folder: Path, source: ImageSource, image_size: int, *, has_images: bool
    ) -> None:
        self._folder = folder
        self._source = source
        self._image_size = image_size
        self._has_images = has_images
        what = f"{LAYOUT} {source.fingerprint()} {image_size} {has_images}"
        self._key = hashlib.blake2b(what.encode(), digest_size=12).hexdigest()
        self._images = folder / f"{self._key}.npy"
        self._hashes = folder / f"{self._key}.hashes.npy"
        self._facts = folder / f"{self._key}.json"

    def read(self) -> DecodedImages | None:
        """Read the cache, or return None if it is missing, incomplete or invalid."""
        needed = [self._facts, self._hashes, *([self._images] if self._has_images else [])]
        if not all(path.is_file() for path in needed):
            return None
        facts = read_facts(self._facts.read_bytes(), len(self._source))
        if facts is None:
            return None
        kept = facts.kept
        # Of each image its hash, then its thumbnail, eight pixels to a number.
        stored = _array(self._hashes, (len(kept), 1 + SIDE * SIDE // 8), np.uint64)
        if stored is None:
            return None
        readable = replace(
            facts,
            hashes=np.array(stored[:, 0]),
            thumbnails=np.array(stored[:, 1:]).view(np.uint8).reshape(-1, SIDE, SIDE),
        )
        if not self._has_images:
            streamed = StreamedImages(self._source, kept, self._image_size, scales=readable.scales)
            return DecodedImages(images=streamed, readable=readable)
        shape = (len(kept), self._image_size, self._image_size, 3)
        squares = _array(self._images, shape, np.uint8)
        # As a plain array: Ray copies the subclass `memmap` into every process that gets it.
        return (
            None
            if squares is None
            else DecodedImages(images=np.asarray(squares), readable=readable)
        )

    def build(self) -> None:
        """Decode into temporary files, then rename them, the JSON file last."""
        # Left by a killed build of these images; because of the lock none is running. Other files
        # belong to somebody else, as the folder may be any.
        for leftover in self._folder.glob(f"{self._key}.*tmp"):
            leftover.unlink()
        images, hashes, facts = (
            path.with_suffix(f"{path.suffix}.tmp")
            for path in (self._images, self._hashes, self._facts)
        )
        try:
            readable = self._decode(images)
            with hashes.open("wb") as file:
                pixels = readable.thumbnails.reshape(len(readable.kept), SIDE * SIDE).view(
                    np.uint64
                )
                np.save(file, np.column_stack([readable.hashes, pixels]))
            facts.write_text(facts_text(readable, len(self._source)))
            if self._has_images:
                commit(images, self._images)
            commit(hashes, self._hashes)
            commit(facts, self._facts)
        finally:
            for temporary in (images, hashes, facts):
                temporary.unlink(missing_ok=True)

    def _decode(self, path: Path) -> Readable:
        if not self._has_images:
            return decode_all(self._source, image_size=self._image_size)
        shape = (len(self._source), self._image_size, self._image_size, 3)
        needed, free = math.prod(shape), shutil.disk_usage(self._folder).free
        if needed + _RESERVE_BYTES > free:
            # A full disk would kill the process when it touches the mapped file.
            raise InputError(
                f"The decoded images need {needed / 1e9:.1f} GB under {self._folder}, but "
                f"{free / 1e9:.1f} GB are free; give another --data-dir or a smaller --image-size."
            )
        squares = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        readable = decode_all(self._source, image_size=self._image_size, out=squares)
        if readable.skipped:
            dense = path.with_suffix(".dense.tmp")
            _copy_rows(squares, readable.kept, dense)
            dense.replace(path)
        else:
            squares.flush()
        return readable

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder, so that one process builds at a time."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / "build.lock").open("w")
        except OSError as error:
            raise InputError(
                f"Decoded images are kept in {self._folder}, so `--data-dir` must be writable, "
                f"but it is not ({error.strerror})."
            ) from error
        with file:
            try:
                lock(file, waits=True)
            except NoLocksError as error:
                raise InputError(
                    f"Decoded images are kept in {self._folder}, which must lie on a file system "
                    f"with locks (flock), but its has none ({error.strerror}): give a --data-dir "
                    "on another one, a local disk or home, or have it mounted with locks."
                ) from error
            yield


def _array(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any] | None:
    """Map the array in a file, or return None if the file has another content.

    What the file must begin with is known, so nothing is parsed that somebody else may have
    written: numpy's own reader ends in many ways on a broken header.
    """
    kind = np.lib.format.dtype_to_descr(np.dtype(dtype))
    head = BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    begin = head.getvalue()
    with path.open("rb") as file:
        is_sound = file.read(len(begin)) == begin
    size = len(begin) + math.prod(shape) * np.dtype(dtype).itemsize
    if not is_sound or path.stat().st_size != size or size == len(begin):
        return None
    return np.memmap(path, dtype, "r", len(begin), shape)


def _copy_rows(squares: NDArray[np.uint8], kept: NDArray[np.int64], path: Path) -> None:
    """Copy the images at ``kept`` to a new file, in blocks that fit in memory."""
    dense = np.lib.format.open_memmap(path, "w+", np.uint8, (len(kept), *squares.shape[1:]))
    block = max(1, 2**26 // squares[0].nbytes)
    for start in range(0, len(kept), block):
        rows = slice(start, start + block)
        dense[rows] = squares[kept[rows]]
    dense.flush()
