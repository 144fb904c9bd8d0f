"""Images that are decoded on access, because all of them do not fit in memory."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.data.bulk_decode import num_cores
from trainable.data.decode_budget import BUDGET
from trainable.data.image_sources import ImageSource
from trainable.data.pixels.deep_grey import GreyScales
from trainable.data.pixels.image_decode import UnreadableImageError, to_square


class StreamedImages:
    """A stand-in for the array of images, which decodes the images at the given indices.

    It may be pickled and used by several processes at once.

    Args:
        source: The images.
        kept: Index in the source of each image.
        image_size: Side in pixels.
        scales: Values of black and white in greyscale of more than 8 bits.
    """

    def __init__(
        self,
        source: ImageSource,
        kept: NDArray[np.int64],
        image_size: int,
        *,
        scales: GreyScales | None = None,
    ) -> None:
        self._source = source
        self._kept = kept
        self._image_size = image_size
        self._scales = dict(scales or {})
        self._executor: ThreadPoolExecutor | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width, number of channels."""
        return (len(self._kept), self._image_size, self._image_size, 3)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode these images, in this order; shape image, height, width, channel.

        Raises:
            RuntimeError: If a file that was readable no longer is.
        """
        if self._executor is None:
            # For good, because filters that come and go make every other warning appear again.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            self._executor = ThreadPoolExecutor(num_cores())
        chosen = self._kept[indices].tolist()
        out = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for place, square in enumerate(self._executor.map(self._decode, chosen)):
            out[place] = square
        return out

    def _decode(self, index: int) -> NDArray[np.uint8]:
        with BUDGET.picture():
            try:
                image = self._source.read(index, self._image_size)
            except UnreadableImageError as error:
                name = self._source.name(index)
                raise RuntimeError(f"Image {name!r} was readable before: {error}") from error
            return to_square(image, self._image_size, scales=self._scales)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without threads, as each process starts its own."""
        return {**self.__dict__, "_executor": None}
