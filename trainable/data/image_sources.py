"""Where images come from before they are decoded, and what is known of them by then."""

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

from trainable.data.file_facts import FileFacts
from trainable.data.pixels.image_decode import read_file, size_of

TRAIN, VAL, TEST = 0, 1, 2
_ODD = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's control characters, halves of characters, and separators of lines."""


def printable(name: str) -> str:
    """The name of a file as every terminal and file can hold it: names need not be text."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _ODD else c for c in name)


class ImageSource(Protocol):
    """Images that can be read one by one, in any order, from several threads and processes."""

    def __len__(self) -> int:
        """How many images there are."""

    def read(self, index: int, image_size: int) -> Image.Image:
        """One image, upright, at least as large as ``image_size`` needs it, in RGB.

        Greyscale of more than 8 bits is left as it is stored (`deep_grey.kind_of`).

        Raises:
            UnreadableImageError: If it cannot be decoded.
        """

    def size(self, index: int) -> tuple[int, int]:
        """Its two sides as stored, in pixels, without decoding it.

        Raises:
            UnreadableImageError: If it is no image.
        """

    def name(self, index: int) -> str:
        """What a person finds the image by."""

    def pick(self, indices: NDArray[np.int64]) -> "ImageSource":
        """These images alone, under their old names."""

    def fingerprint(self) -> str:
        """Equal for two sources only if their images are."""


class FileSource:
    """Image files below one folder.

    Args:
        root: The folder that names are relative to.
        paths: Relative to it, with forward slashes.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        # Trials run in another working directory.
        self._root = root.absolute()
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int, image_size: int) -> Image.Image:
        """Decode one file."""
        return read_file(self._root / self._paths[index], image_size)

    def size(self, index: int) -> tuple[int, int]:
        """From the file's header."""
        return size_of(self._root / self._paths[index])

    def name(self, index: int) -> str:
        """Path relative to the root, with escapes for what is no text that can be printed."""
        return printable(self._paths[index])

    def pick(self, indices: NDArray[np.int64]) -> "FileSource":
        """Some of the files."""
        return FileSource(self._root, [self._paths[i] for i in indices.tolist()])

    def fingerprint(self) -> str:
        """Of paths, sizes and times of last change; where the root lies does not matter.

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
        return digest.hexdigest()


class ArraySource:
    """Images that lie in memory.

    Args:
        pixels: Bytes of shape image, height, width (grey) or image, height, width, 3.
        numbers: What the images are called; None counts them from 0.
    """

    def __init__(self, pixels: NDArray[np.uint8], numbers: NDArray[np.int64] | None = None) -> None:
        self._pixels = pixels
        self._numbers = np.arange(len(pixels)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, index: int, image_size: int) -> Image.Image:
        """One image of the array."""
        return Image.fromarray(self._pixels[index]).convert("RGB")

    def size(self, index: int) -> tuple[int, int]:
        """The same for all."""
        return self._pixels.shape[2], self._pixels.shape[1]

    def name(self, index: int) -> str:
        """Its number."""
        return f"image {self._numbers[index]}"

    def pick(self, indices: NDArray[np.int64]) -> "ArraySource":
        """Some of the images; copies their pixels."""
        return ArraySource(self._pixels[indices], self._numbers[indices])

    def fingerprint(self) -> str:
        """Of shape and pixels."""
        digest = hashlib.blake2b(repr(self._pixels.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self._pixels).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Collection:
    """Labelled images that are neither decoded nor, unless someone else did it, split.

    Attributes:
        source: The images.
        labels: Class of each image, from 0.
        class_names: Name of each class.
        parts: The official part of each image (`TRAIN`, `VAL` or `TEST`), or None if there is none.
            `TRAIN` and `TEST` both occur in it; `VAL` may be missing.
        notes: What the user should know about them, one sentence each.
        files: What their files are like, as far as that is known before they are decoded.
    """

    source: ImageSource
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: NDArray[np.int8] | None = None
    notes: tuple[str, ...] = ()
    files: FileFacts = field(default_factory=FileFacts)
