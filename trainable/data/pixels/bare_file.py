"""Removal of an image file's metadata, for decoders that fail on broken metadata.

Metadata says when, where and by whom a picture was taken; a decoder of pixels needs none of it.
Some of Pillow's read it all the same while they open or load a file, and give up where it is
broken. What is left here is what decides the pixels, so that they can be asked again. A file is
only changed where its format is kept to; whatever follows a mistake stays as it is.
"""

import re
import struct
from dataclasses import dataclass

from trainable.data.pixels.orientation import UPRIGHT, orientation_of

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_APPLICATION = range(0xE0, 0xF0)
_NEEDED_SEGMENTS = (0xE0, 0xEE)  # JFIF, and Adobe's word on how colours are coded.
_COMMENT, _SCAN = 0xFE, 0xDA
_NEEDED_TAGS = frozenset(
    {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320}
    | {322, 323, 324, 325, 332, 334, 338, 339, 340, 341, 347, *range(512, 522)}
    | {529, 530, 531, 532, 50674}
)
"""Tags of TIFF that say how pixels are stored, and the orientation."""
_AVIF_EXIF = re.compile(rb"(infe.{8,10})Exif", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class BareFile:
    """A file without metadata.

    Attributes:
        content: The file.
        orientation: 1 to 8, as the metadata had it; 1 where the file still says it by itself.
    """

    content: bytes
    orientation: int


def without_metadata(content: bytes) -> BareFile | None:
    """Remove the parts of an image file that its pixels do not depend on.

    Args:
        content: A whole file.

    Returns:
        The bare file, or None if nothing was taken out of it: another format, or already bare.
    """
    exif, bare = b"", content
    if content.startswith(_JPEG):
        exif, bare = _jpeg(content)
    elif content.startswith(_PNG):
        exif, bare = _png(content)
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        bare = _tiff(content)
    elif content[4:8] == b"ftyp":
        # Rename the item, so that no decoder looks for EXIF in it.
        bare = _AVIF_EXIF.sub(rb"\1free", content, count=1)
    if bare == content:
        return None
    orientation = orientation_of({"exif": exif}) if exif else UPRIGHT
    return BareFile(content=bare, orientation=orientation)


def _jpeg(content: bytes) -> tuple[bytes, bytes]:
    """Return EXIF data, and the JPEG file without application segments and comments."""
    exif, kept, at = b"", [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != _SCAN:
        marker, (length,) = content[at + 1], struct.unpack_from(">H", content, at + 2)
        segment = content[at : at + 2 + length]
        if marker == 0xFF:  # A byte that only fills.
            at += 1
            continue
        if segment[4:10] == b"Exif\0\0":
            # A long block is spread over several segments.
            exif += segment[10:]
        if marker in _NEEDED_SEGMENTS or (marker not in _APPLICATION and marker != _COMMENT):
            kept.append(segment)
        at += 2 + length
    return exif, b"".join([*kept, content[at:]])


def _png(content: bytes) -> tuple[bytes, bytes]:
    """Return EXIF data, and the PNG file with only the chunks that its pixels depend on."""
    exif, kept, at = b"", [content[:8]], 8
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">L4s", content, at)
        chunk = content[at : at + 12 + length]
        if name == b"eXIf":
            exif = chunk[8:-4]
        if name[:1].isupper() or name == b"tRNS":
            kept.append(chunk)
        at += 12 + length
    return exif, b"".join([*kept, content[at:]])


def _tiff(content: bytes) -> bytes:
    """Return the TIFF file with all unneeded tags of its first directory made invalid."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = content[2:4] in (b"+\0", b"\0+")
    offset, number, length = ("Q", "Q", 20) if is_big else ("L", "H", 12)
    bare = bytearray(content)
    try:
        (start,) = struct.unpack_from(order + offset, content, 8 if is_big else 4)
        (count,) = struct.unpack_from(order + number, content, start)
        first = start + struct.calcsize(order + number)
        for entry in range(first, first + length * count, length):
            (tag,) = struct.unpack_from(f"{order}H", content, entry)
            if tag not in _NEEDED_TAGS:
                struct.pack_into(f"{order}H", bare, entry + 2, 0)
    except struct.error:
        return content  # The directory lies beyond the end of the file.
    return bytes(bare)
