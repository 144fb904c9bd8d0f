"""Decoding of an image file to an upright, square RGB array."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainable.data.decode_budget import BUDGET, MOST_PIXELS, bytes_of
from trainable.data.pixels.bare_file import without_metadata
from trainable.data.pixels.deep_grey import GreyScales, kind_of, range_of, to_grey
from trainable.data.pixels.orientation import UPRIGHT, orientation_of, turned

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"}
    | {".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of the files that count as images, in lower case."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that Pillow may read, independent of the ending; others, like EPS, run programs."""
_LONGEST_REASON = 200
_STRIP_PIXELS = 2**20
_WHITE = (255, 255, 255, 255)
_CUT, _TURNED = "cut", "turned"  # Keys of `Image.info` that say what was done to a picture.
_Kind = TypeVar("_Kind")


class UnreadableImageError(OSError):
    """A file that cannot be decoded; the message is the reason, in one line."""


def read_file(file: Path | bytes, image_size: int, *, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """Open an image file, or the bytes of one, and turn it upright.

    A JPEG much larger than ``image_size`` is decoded at a fraction of its size, but never at less
    than twice the size it is needed in, so that resizing still averages over pixels.

    Returns:
        The picture in RGB; greyscale of more than 8 bits as it is stored (`deep_grey.kind_of`),
        because no file alone says which of its values are black and white.

    Raises:
        UnreadableImageError: If the pixels cannot be decoded to the end.
    """
    _admit(max_pixels)

    def decoded(image: Image.Image, orientation: int | None) -> Image.Image:
        is_cut = _has_deep_colour(image)  # Before loading, which forgets how the pixels were coded.
        stored = image.size
        if 0 in stored:
            raise ValueError("the picture has no pixels")
        if stored[0] * stored[1] > max_pixels:
            raise ValueError(
                f"its {stored[0]} x {stored[1]} pixels are more than the {max_pixels:,} that an "
                "image may have (--max-image-pixels)"
            )
        image.draft("RGB", (2 * image_size, 2 * image_size))
        is_progressive = bool(image.info.get("progressive"))
        BUDGET.take(bytes_of(image.size, stored, is_progressive=is_progressive))
        image.load()
        if orientation is None:
            # Pillow turns TIFF itself.
            orientation = UPRIGHT if image.format == "TIFF" else orientation_of(image.info)
        upright = turned(image if kind_of(image) else to_rgb(image), orientation)
        upright.info = {_CUT: is_cut, _TURNED: orientation != UPRIGHT}
        return upright

    return _with_opened(file, decoded)


def _admit(max_pixels: int) -> None:
    """Have Pillow open pictures up to that size: what is larger is told in our words."""
    least = max_pixels + 1
    if Image.MAX_IMAGE_PIXELS is not None and least > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = least


def size_of(file: Path | bytes) -> tuple[int, int]:
    """Read width and height as stored, in pixels, from the header of an image file.

    Raises:
        UnreadableImageError: If it is no image file.
    """
    return _with_opened(file, lambda image, _: image.size)


def is_cut(image: Image.Image) -> bool:
    """Whether a picture of `read_file` lost the lower 8 of its 16 bits a colour."""
    return bool(image.info.get(_CUT))


def is_turned(image: Image.Image) -> bool:
    """Whether `read_file` turned or mirrored a picture because its EXIF says so."""
    return bool(image.info.get(_TURNED))


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings of odd metadata and large images within the context."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _with_opened(file: Path | bytes, use: Callable[[Image.Image, int | None], _Kind]) -> _Kind:
    """Call a function with an opened image file, and if that fails, with the file without metadata.

    It gets the picture, and the orientation where that is known from elsewhere.
    """
    # Pillow's decoders end in exceptions of nearly every type on one broken file or another, and
    # each of them is that file's: it is named, and the others go on.
    try:
        if isinstance(file, Path) and not file.is_file():
            # A pipe that is called x.png would never end.
            raise FileNotFoundError("no such file, or not a regular one")
        opened = file if isinstance(file, Path) else BytesIO(file)
        with Image.open(opened, formats=FORMATS) as image:
            return use(image, None)
    except Exception as error:
        said = str(error).partition(" <_io")[0]  # Pillow's name for bytes that are no file.
        reason = " ".join(said.split())[:_LONGEST_REASON] or type(error).__name__
        try:
            content = file if isinstance(file, bytes) else _content(file)
            bare = None if content is None else without_metadata(content)
            if bare is not None:
                with Image.open(BytesIO(bare.content), formats=FORMATS) as image:
                    return use(image, bare.orientation)
        except Exception:
            raise UnreadableImageError(reason) from error
        raise UnreadableImageError(reason) from error


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _has_deep_colour(image: Image.Image) -> bool:
    """Whether a picture, before it is loaded, has 16 bits for each of several channels.

    Pillow then reads the upper 8 of them.
    """
    codings = [tile[3] for tile in getattr(image, "tile", [])]
    if image.format == "PPM":
        # The largest value stands behind the mode; a smaller one than that is scaled by Pillow.
        return ("RGB", 65_535) in codings
    return kind_of(image) is None and any(";16" in str(coding) for coding in codings)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB as a viewer shows it.

    Transparency lies over white. Not for greyscale of more than 8 bits, which Pillow's own
    conversion clips: `deep_grey.to_grey` scales it.
    """
    if not image.has_transparency_data:
        return image.convert("RGB")
    width, height = image.size
    whole = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):  # At once, it would take four copies of the picture.
        strip = image.crop((0, top, width, min(height, top + rows))).convert("RGBA")
        white = Image.new("RGBA", strip.size, _WHITE)
        whole.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return whole


def to_square(
    image: Image.Image, image_size: int, *, scales: GreyScales | None = None
) -> NDArray[np.uint8]:
    """Scale the shorter side to ``image_size`` and cut the centre out, in one antialiased step.

    Args:
        image: In RGB, or greyscale of more than 8 bits.
        image_size: Side in pixels, at least 1.
        scales: What is black and white in the deep greyscale of the dataset; None takes the lowest
            and highest value of this picture.

    Returns:
        Bytes of shape height, width, channel.
    """
    if (kind := kind_of(image)) is not None:
        image = to_grey(image, scales[kind].black_to_white if scales else range_of(image))
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = image.resize(
        (image_size, image_size),
        Image.Resampling.BICUBIC,
        box=(left, top, left + short, top + short),
    )
    return np.asarray(square)
