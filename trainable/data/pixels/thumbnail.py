"""A tiny grey picture of an image, for finding images that look alike."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
"""Side of a thumbnail in pixels."""


def thumbnail(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average a square RGB image over boxes and colours; shape `SIDE`, `SIDE`."""
    grey = Image.fromarray(square).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))
