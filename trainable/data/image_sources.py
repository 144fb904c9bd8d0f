"""Sources of images that are not decoded yet: files or arrays."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainable.data.decode_budget import MOST_PIXELS
from trainable.data.file_facts import FileFacts
from trainable.data.pixels.image_decode import read_file, size_of

TRAIN, VAL, TEST = 0, 1, 2
_ODD = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's control characters, surrogates, and separators of lines."""
_LONGEST_SHOWN = 80


def printable(name: str) -> str:
    """Escape the characters of a file's name that cannot be printed."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _ODD else c for c in name)


def shown(text: str) -> str:
    """Quote a name of the user's for a message, cut short if it is long."""
    return repr(printable(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."))


class ImageSource(Protocol):
    """Images that can be read one by one, in any order, from several threads and processes."""

    def __len__(self) -> int:
        """Number of images."""

    def read(self, index: int, image_size: int) -> Image.Image:
        """Decode one image, upright, in RGB, at least as large as needed for ``image_size``.

        Greyscale of more than 8 bits is left as it is stored (`deep_grey.kind_of`).

        Raises:
            UnreadableImageError: If it cannot be decoded.
        """

    def size(self, index: int) -> tuple[int, int]:
        """Return width and height of an image as stored, in pixels, without decoding it.

        Raises:
            UnreadableImageError: If it is no image.
        """

    def name(self, index: int) -> str:
        """Return the name of an image for people."""

    def pick(self, indices: NDArray[np.int64]) -> "ImageSource":
        """Return a source of these images only, under their old names."""

    def fingerprint(self) -> str:
        """Return a text that is equal for two sources only if their images are."""


class FileSource:
    """Image files below one folder.

    Args:
        root: The folder that names are relative to.
        paths: Relative to it, with forward slashes.
        max_pixels: Pixels of the largest picture that counts as readable.
    """

    def __init__(self, root: Path, paths: Sequence[str], *, max_pixels: int = MOST_PIXELS) -> None:
        self._max_pixels = max_pixels
        # Trials run in another working directory.
        self._root = root.absolute()
        self._paths = tuple(paths)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths relative to the root, with forward slashes."""
        return self._paths

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int, image_size: int) -> Image.Image:
        """Decode one file."""
        path = self._root / self._paths[index]
        return read_file(path, image_size, max_pixels=self._max_pixels)

    def size(self, index: int) -> tuple[int, int]:
        """Read width and height from a file's header."""
        return size_of(self._root / self._paths[index])

    def name(self, index: int) -> str:
        """Return the path relative to the root, with unprintable characters escaped."""
        return printable(self._paths[index])

    def pick(self, indices: NDArray[np.int64]) -> "FileSource":
        """Some of the files."""
        picked = [self._paths[i] for i in indices.tolist()]
        return FileSource(self._root, picked, max_pixels=self._max_pixels)

    def with_most_pixels(self, max_pixels: int) -> "FileSource":
        """The same files, of which larger or fewer are readable."""
        return FileSource(self._root, self._paths, max_pixels=max_pixels)

    def fingerprint(self) -> str:
        """Hash paths, sizes and times of last change; the place of the root does not matter.

        The time counts that the file system keeps by itself (``ctime``): unpacking or copying a new
        version over the old one may well set the other one back to what it was.
        """
        digest = hashlib.blake2b(digest_size=16)
        for path in self._paths:
            try:
                stat = (self._root / path).stat()
                facts = f"{stat.st_size}\0{stat.st_ctime_ns}"
            except OSError:  # A link to nowhere, which decoding names.
                facts = "unreadable"
            digest.update(os.fsencode(path) + f"\0{facts}\n".encode())
        if self._max_pixels != MOST_PIXELS:
            digest.update(f"{self._max_pixels}".encode())
        return digest.hexdigest()


class ArraySource:
    """Images in memory.

    Args:
        pixels: Bytes of shape image, height, width (grey) or image, height, width, 3.
        numbers: Numbers that are the images' names; None counts them from 0.
    """

    def __init__(self, pixels: NDArray[np.uint8], numbers: NDArray[np.int64] | None = None) -> None:
        self._pixels = pixels
        self._numbers = np.arange(len(pixels)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, index: int, image_size: int) -> Image.Image:
        """Return one image of the array."""
        return Image.fromarray(self._pixels[index]).convert("RGB")

    def size(self, index: int) -> tuple[int, int]:
        """Return width and height, equal for all images."""
        return self._pixels.shape[2], self._pixels.shape[1]

    def name(self, index: int) -> str:
        """Return the name of an image, which is its number."""
        return f"image {self._numbers[index]}"

    def pick(self, indices: NDArray[np.int64]) -> "ArraySource":
        """Some of the images; copies their pixels."""
        return ArraySource(self._pixels[indices], self._numbers[indices])

    def fingerprint(self) -> str:
        """Hash shape and pixels."""
        digest = hashlib.blake2b(repr(self._pixels.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self._pixels).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Collection:
    """Labelled images that are not decoded yet, with an official split if there is one.

    Attributes:
        source: The images.
        labels: Class of each image, from 0.
        class_names: Name of each class.
        parts: The official part of each image (`TRAIN`, `VAL` or `TEST`), or None if there is none.
            `TRAIN` and `TEST` both occur in it; `VAL` may be missing.
        notes: What the user should know about them, one sentence each.
        files: What their files are like, as far as that is known before they are decoded.
        groups: Name of the group of each image, whose images stay in one part; None without groups.
    """

    source: ImageSource
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: NDArray[np.int8] | None = None
    notes: tuple[str, ...] = ()
    files: FileFacts = field(default_factory=FileFacts)
    groups: Sequence[str] | None = None
