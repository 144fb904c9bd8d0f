"""Reading of the orientation that a camera stored, and turning of an image upright.

EXIF is written by cameras, phones and editors in every state of repair, and nothing but one tag of
it says how a picture lies. That tag is read here and no other, so whatever the rest holds can
neither fail nor cost a picture. Pillow's own ``exif_transpose`` decodes every tag, and encodes them
all again once it has turned a picture.
"""

import re
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

UPRIGHT = 1
_TAG = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}  # By the number of EXIF's type.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_IN_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


def orientation_of(info: Mapping[Any, Any]) -> int:
    """Read the orientation from the metadata that Pillow found; never raises.

    Args:
        info: ``Image.info`` of a loaded picture: EXIF as bytes, as the text in which ImageMagick
            hides it in a PNG, or XMP.

    Returns:
        1 to 8 as EXIF counts them; 1, which is upright, where nothing valid is said.
    """
    for exif in (info.get("exif"), _unpacked(info.get("Raw profile type exif"))):
        if isinstance(exif, bytes) and (found := _in_exif(exif)) is not None:
            return found
    for key in ("XML:com.adobe.xmp", "xmp"):
        xmp = info.get(key)
        xmp = xmp.encode(errors="replace") if isinstance(xmp, str) else xmp
        if isinstance(xmp, bytes) and (match := _IN_XMP.search(xmp)):
            return int(match[1])
    return UPRIGHT


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image upright: rotated or mirrored according to the orientation."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _in_exif(exif: bytes) -> int | None:
    """Read the tag in the first directory of EXIF data, or return None if missing or invalid."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(f"{order}HHL", exif, entry)
            if tag == _TAG and kind in _INTEGERS and length == 1:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], exif, entry + 8)
                return value if UPRIGHT <= value <= 8 else None
    except struct.error:
        return None  # The block ends before its directory does.
    return None


def _unpacked(profile: object) -> bytes | None:
    """Decode a profile that ImageMagick wrote as text: name, length, hexadecimal digits."""
    if not isinstance(profile, str):
        return None
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return None
