"""Greyscale of more than 8 bits, brought to 8 by one scale for a whole dataset.

A camera of 10 or 12 bits stores its values in 16, a detector in floats of any unit. What of that
range is used is known only from all pictures together: the full range of the type would leave six
grey levels of a picture that reaches 1400 of 65535, and a range for each picture would make a dark
one and a bright one look alike. So the lowest value of the dataset becomes 0 and its highest 255,
whole numbers and floats apart. Test images count as well: it is a change of unit, and it has to be
the same one for all.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

INTEGERS, FLOATS = "integers", "floats"
FEW_LEVELS = 32
"""Number of grey levels below which an image has lost more than three of its eight bits."""
_KINDS = {"I": INTEGERS, "F": FLOATS}


@dataclass(frozen=True, kw_only=True, slots=True)
class GreyRange:
    """The values between black and white, both included.

    Attributes:
        low: Value that becomes 0; finite.
        high: Value that becomes 255; finite, at least ``low``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(
                f"`low <= high` must hold for finite numbers, but got {self.low} and {self.high}."
            )

    @property
    def extent(self) -> float:
        """Distance between black and white, never 0."""
        return max(self.high - self.low, 1e-300)


@dataclass(frozen=True, kw_only=True, slots=True)
class GreyScale:
    """The one scale of all deep greyscale pictures of a kind in a dataset.

    Attributes:
        black_to_white: The values that become 0 to 255.
        num_images: Number of images that it is made for, at least 1.
        typical_levels: Number of the 256 grey levels within the range of the median image.
    """

    black_to_white: GreyRange
    num_images: int
    typical_levels: int

    @classmethod
    def of(cls, ranges: Iterable[GreyRange]) -> "GreyScale":
        """Make the scale for images of these ranges, at least one."""
        given = list(ranges)
        whole = GreyRange(low=min(r.low for r in given), high=max(r.high for r in given))
        shares = [(r.high - r.low) / whole.extent for r in given]
        return cls(
            black_to_white=whole,
            num_images=len(given),
            typical_levels=1 + round(255 * float(np.median(shares))),
        )


GreyScales = Mapping[str, GreyScale]
"""By kind, `INTEGERS` or `FLOATS`; a kind that does not occur is left out."""


def kind_of(image: Image.Image) -> str | None:
    """Return `INTEGERS` or `FLOATS` for greyscale of more than 8 bits, else None."""
    return _KINDS.get(image.mode.partition(";")[0])


def range_of(image: Image.Image) -> GreyRange:
    """Return the lowest and highest finite value of a deep greyscale image."""
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return GreyRange(low=0.0, high=0.0)
    return GreyRange(low=float(finite.min()), high=float(finite.max()))


def hash_of(image: Image.Image) -> bytes:
    """Hash the values of a deep greyscale image to eight bytes, independent of the file format."""
    wide = "<i4" if kind_of(image) == INTEGERS else "<f4"
    values = np.ascontiguousarray(np.asarray(image), wide)
    digest = hashlib.blake2b(f"{wide} {values.shape}".encode(), digest_size=8)
    digest.update(values.data)
    return digest.digest()


def to_grey(image: Image.Image, black_to_white: GreyRange) -> Image.Image:
    """Convert a deep greyscale image to RGB; values outside the range are clipped, NaN is black."""
    low, extent = black_to_white.low, black_to_white.extent
    # Floats of 64 bits hold every value of the files exactly.
    shares = (np.asarray(image).astype(np.float64) - low) / extent
    grey = np.rint(255.0 * np.clip(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0, 1))
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
