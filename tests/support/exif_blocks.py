"""EXIF as cameras never should write it, and image files of every kind that carry it."""

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
Entry = tuple[int, int, int, bytes]
"""Tag, type, count, and the four bytes that are the value or say where it lies."""

ORIENTATION = 0x0112
TAGS = (
    *(0x010F, 0x011A, 0x011B, 0x0128, 0x0132, 0x013E, 0x0201, 0x0202, 0x02BC, 0x83BB, 0x8649),
    *(0x8773, 0x9000, 0x927C, 0xA005, 0xC4A5, 0, 0xFFFF),
    *(0x011A, 0x0128) * 2,  # Pillow works the resolution out of them.
    *(0x8769, 0x8825, 0x014A) * 2,  # They point to directories of their own.
)
UPRIGHT_AGAIN: dict[int, Callable[[Bytes], Bytes]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""Transposition of a stored picture that shows the scene upright, by orientation."""


def directory(order: str, entries: list[Entry], following: int = 0) -> bytes:
    body = b"".join(struct.pack(f"{order}HHL4s", *entry) for entry in entries)
    return struct.pack(f"{order}H", len(entries)) + body + struct.pack(f"{order}L", following)


def block(order: str, entries: list[Entry], tail: bytes = b"", *, orientation: int = 0) -> bytes:
    """EXIF with one directory, the orientation first in it unless it is 0."""
    if orientation:
        value = struct.pack(f"{order}HH", orientation, 0)
        entries = [(ORIENTATION, 3, 1, value), *entries]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", 8)
    return head + directory(order, entries) + tail


def entries_in(order: str) -> st.SearchStrategy[Entry]:
    """Tags of any type, of which the value lies inside, behind or far beyond the block."""
    offsets = st.sampled_from([0, 2, 8, 20, 38, 50, 62, 80, 1000, 2**31, 2**32 - 1])
    return st.tuples(
        st.sampled_from(TAGS) | st.integers(0x0100, 0xFFFF).filter(lambda tag: tag != ORIENTATION),
        st.integers(0, 14) | st.sampled_from([255, 65_535]),
        st.sampled_from([0, 1, 1, 2, 3, 5, 40, 2**16, 2**32 - 1]),
        offsets.map(lambda offset: struct.pack(f"{order}L", offset))
        | st.binary(min_size=4, max_size=4),
    )


@st.composite
def exif_blocks(draw: st.DrawFn) -> tuple[bytes, int]:
    """A block of EXIF and the orientation it says, 1 if it says none."""
    order = draw(st.sampled_from("<>"))
    orientation = draw(st.integers(0, 8))
    entries = draw(st.lists(entries_in(order), max_size=5))
    inner = directory(order, draw(st.lists(entries_in(order), max_size=3)))
    tail = inner + draw(st.binary(max_size=40))
    return block(order, entries, tail, orientation=orientation), orientation or 1


def _saved(form: str, scene: Bytes, exif: bytes) -> bytes:
    stream = BytesIO()
    Image.fromarray(scene).save(stream, form, exif=exif, lossless=True, quality=95)
    return stream.getvalue()


def _jpeg(scene: Bytes, exif: bytes) -> bytes:
    """As cameras write it: without the JFIF segment, so that EXIF is asked for the resolution."""
    content = _saved("JPEG", scene, b"Exif\0\0" + exif)
    assert content[2:4] == b"\xff\xe0"
    return content[:2] + content[4 + int.from_bytes(content[4:6], "big") :]


def _png(scene: Bytes, exif: bytes) -> bytes:
    return _saved("PNG", scene, exif)


def _webp(scene: Bytes, exif: bytes) -> bytes:
    return _saved("WEBP", scene, exif)


def _avif(scene: Bytes, exif: bytes) -> bytes:
    """Pillow would read the block before it writes it: a stand-in of its length is swapped."""
    stand_in = block("<", [], bytes(len(exif) - len(block("<", []))))
    content = _saved("AVIF", scene, stand_in)
    assert content.count(stand_in) == 1
    return content.replace(stand_in, exif)


def _tiff(scene: Bytes, exif: bytes) -> bytes:
    """A plain TIFF whose own directory holds the entries of the block."""
    order = "<" if exif[:2] == b"II" else ">"
    (count,) = struct.unpack_from(f"{order}H", exif, 8)
    given = [struct.unpack_from(f"{order}HHL4s", exif, 10 + 12 * i) for i in range(count)]
    height, width, _ = scene.shape
    pixels_at = 8 + len(exif)

    def number(kind: int, value: int) -> bytes:
        long, short = f"{order}L", f"{order}HH"
        return struct.pack(long, value) if kind == 4 else struct.pack(short, value, 0)

    needed = {256: (4, width), 257: (4, height), 259: (3, 1), 262: (3, 2), 273: (4, pixels_at)}
    needed |= {277: (3, 3), 278: (4, height), 279: (4, scene.size), 284: (3, 1)}
    ours = {tag: (tag, kind, 1, number(kind, value)) for tag, (kind, value) in needed.items()}
    bits_at = pixels_at + scene.size
    ours[258] = (258, 3, 3, struct.pack(f"{order}L", bits_at))
    theirs = {tag: (tag, *rest) for tag, *rest in reversed(given) if tag not in ours}
    entries = [entry for _, entry in sorted({**theirs, **ours}.items())]
    bits = struct.pack(f"{order}3H", 8, 8, 8)
    head = exif[:4] + struct.pack(f"{order}L", bits_at + len(bits))
    return head + exif + scene.tobytes() + bits + directory(order, entries)


CARRIERS: dict[str, Callable[[Bytes, bytes], bytes]] = {
    "jpg": _jpeg,
    "png": _png,
    "webp": _webp,
    "avif": _avif,
    "tiff": _tiff,
}
"""Files of a scene with a block of EXIF, by their ending."""
