"""From an image as it is stored to square RGB bytes as a person sees it."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of the files that count as images, in lower case."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What Pillow may take a file for, whatever its ending says; of all it knows, EPS runs programs."""
UNREADABLE = (
    OSError,  # Missing, truncated, or of no known format.
    SyntaxError,  # Broken PNG chunks.
    ValueError,  # Broken PPM headers, modes without a conversion.
    RuntimeError,  # Broken AVIF frames.
    EOFError,
    struct.error,
    Image.DecompressionBombError,  # A header that claims billions of pixels.
)
"""What Pillow's decoders raise on broken files (found by changing bytes in files of 14 kinds)."""
_WHITE = (255, 255, 255, 255)


def read_file(path: Path, image_size: int) -> Image.Image:
    """Open an image file, turned upright and converted to RGB.

    A JPEG much larger than ``image_size`` is decoded at a fraction of its size, but never at less
    than twice the size it is needed in, so that resizing still averages over pixels.

    Raises:
        UNREADABLE: If the file cannot be decoded to its end.
    """
    with open_file(path) as image:
        image.draft("RGB", (2 * image_size, 2 * image_size))
        upright = ImageOps.exif_transpose(image)
        return to_rgb(upright)


def open_file(path: Path) -> Image.Image:
    """Open an image file and read its header.

    Raises:
        UNREADABLE: If it is no image file.
    """
    if not path.is_file():  # A pipe that is called x.png would never end.
        raise FileNotFoundError("no such file, or not a regular one")
    return Image.open(path, formats=FORMATS)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB as a viewer shows it.

    Transparency lies over white. Deep greyscale is scaled, because Pillow's own conversion clips
    everything above 255 to white: 16 bits by their range, 32-bit integers and floats beyond their
    usual range by their own lowest and highest value.
    """
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float64) / 257.0)
    if image.mode == "I":
        # Also what Pillow makes of a 16-bit PGM.
        return _grey(_in_range(np.asarray(image), 65535.0))
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return _grey(_in_range(values, 1.0 if values.max() <= 1.0 else 255.0))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, image_size: int) -> NDArray[np.uint8]:
    """Scale the shorter side to ``image_size`` and cut the centre out, in one antialiased step.

    Args:
        image: Any RGB image.
        image_size: Side in pixels, at least 1.

    Returns:
        Bytes of shape height, width, channel.
    """
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = image.resize(
        (image_size, image_size),
        Image.Resampling.BICUBIC,
        box=(left, top, left + short, top + short),
    )
    return np.asarray(square)


def _in_range(values: NDArray[np.generic], highest: float) -> NDArray[np.float64]:
    """Scale ``[0, highest]`` to ``[0, 255]``, or the values' own range if they leave that one."""
    given = values.astype(np.float64)
    low, high = 0.0, highest
    if given.min() < low or given.max() > high:
        low, high = float(given.min()), float(given.max())
    return (given - low) * (255.0 / max(high - low, 1e-12))


def _grey(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")
