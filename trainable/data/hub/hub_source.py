"""Pictures in the rows of a dataset of Hugging Face, decoded as files are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainable.data.decode_budget import MOST_PIXELS
from trainable.data.image_sources import printable
from trainable.data.pixels.image_decode import UnreadableImageError, read_file, size_of

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HubSource:
    """Images of one or more splits of a dataset.

    Attributes:
        splits: The splits by name, whose column of pictures gives bytes and path undecoded.
        column: Name of that column.
        places: Number of the split of each image, and of its row in there; shape image, 2.
        max_pixels: Pixels of the largest picture that counts as readable.
    """

    splits: Sequence[tuple[str, "datasets.Dataset"]]
    column: str
    places: NDArray[np.int64]
    max_pixels: int = MOST_PIXELS

    def __len__(self) -> int:
        """Number of images."""
        return len(self.places)

    def read(self, index: int, image_size: int) -> Image.Image:
        """Decode one picture."""
        return read_file(self._file(index), image_size, max_pixels=self.max_pixels)

    def size(self, index: int) -> tuple[int, int]:
        """Read width and height from a picture's header."""
        return size_of(self._file(index))

    def name(self, index: int) -> str:
        """Return split, row, and the file name that the picture had, if that is known."""
        split, row = self.places[index].tolist()
        name, rows = self.splits[split]
        path = _cell(rows[row][self.column]).get("path")
        had = f" ({Path(path).name})" if isinstance(path, str) else ""
        return printable(f"{name} row {row}{had}")

    def pick(self, indices: NDArray[np.int64]) -> "HubSource":
        """Some of the images."""
        return replace(self, places=self.places[indices])

    def with_most_pixels(self, max_pixels: int) -> "HubSource":
        """The same images, of which larger or fewer are readable."""
        return replace(self, max_pixels=max_pixels)

    def fingerprint(self) -> str:
        """Hash the splits' fingerprints, sizes and times of their files, and the picked rows."""
        digest = hashlib.blake2b(f"{self.column} {self.max_pixels}".encode(), digest_size=16)
        for name, rows in self.splits:
            digest.update(f"{name} {rows._fingerprint}\n".encode())
            for file in rows.cache_files:
                stat = Path(file["filename"]).stat()
                digest.update(f"{stat.st_size} {stat.st_ctime_ns}\n".encode())
        digest.update(self.places.tobytes())
        return digest.hexdigest()

    def _file(self, index: int) -> bytes | Path:
        split, row = self.places[index].tolist()
        cell = _cell(self.splits[split][1][row][self.column])
        content, path = cell.get("bytes"), cell.get("path")
        if isinstance(content, bytes):
            return content
        if isinstance(path, str):  # A folder of images that was saved holds paths alone.
            return Path(path)
        raise UnreadableImageError("the row has no picture")


def _cell(cell: Any) -> dict[str, Any]:
    return cell if isinstance(cell, dict) else {}
