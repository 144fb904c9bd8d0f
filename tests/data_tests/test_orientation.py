"""Photographs stand upright and are read, whatever their EXIF holds besides the orientation."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.exif_blocks import CARRIERS, UPRIGHT_AGAIN, Bytes, Entry, block, directory
from trainable.data.datasets import load_dataset
from trainable.data.pixels.bare_file import without_metadata
from trainable.data.pixels.image_decode import is_turned, read_file, size_of
from trainable.data.pixels.orientation import orientation_of

SCENE = np.random.default_rng(0).integers(60, 200, size=(9, 12, 3)).astype(np.uint8)
TURNED_BY_TAG = tuple(kind for kind in CARRIERS if kind != "avif")
"""In AVIF the container says how the picture lies, and EXIF is not asked."""
LATITUDE_AS_TEXT = directory("<", [(2, 2, 5, struct.pack("<L", 68))]) + b"48.1\0\0"
BROKEN: dict[str, tuple[list[Entry], bytes]] = {
    "a latitude that is text": ([(0x8825, 4, 1, struct.pack("<L", 50))], LATITUDE_AS_TEXT),
    "a directory beyond the end": ([(0x8769, 4, 1, struct.pack("<L", 2**31))], b""),
    "a directory that is text": ([(0x8769, 2, 4, b"abc\0")], b""),
    "a directory in itself": ([(0x8769, 4, 1, struct.pack("<L", 8))], b""),
    "a resolution of one letter": ([(0x011A, 2, 1, b"3\0\0\0"), (0x0128, 3, 1, b"\3\0\0\0")], b""),
    "a resolution over nothing": (
        [(0x011A, 5, 1, struct.pack("<L", 50)), (0x0128, 3, 1, b"\2\0\0\0")],
        bytes(8),
    ),
    "an unknown type": ([(0x010F, 99, 7, b"\xff\xff\xff\xff")], b""),
    "a million values": ([(0x927C, 7, 10**6, struct.pack("<L", 40))], b"\0" * 8),
    "two artists, one of no text": ([(0x013B, 2, 8, struct.pack("<L", 38))], b"\xff\xfe\0\xd8\0\0"),
    "a rational as a comment": ([(0x9286, 10, 1, struct.pack("<L", 38))], b"\xff" * 8),
}


def pixels_of(path: Path) -> Bytes:
    return np.asarray(read_file(path, 1024))


def put(path: Path, kind: str, exif: bytes) -> Path:
    path.write_bytes(CARRIERS[kind](SCENE, exif))
    return path


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_photograph_with_broken_exif_is_read_and_upright(
    kind: str, what: str, tmp_path: Path
) -> None:
    plain = pixels_of(put(tmp_path / "plain", kind, block("<", [], bytes(40))))
    path = put(tmp_path / "broken", kind, block("<", *BROKEN[what], orientation=6))
    expected = UPRIGHT_AGAIN[6](plain) if kind in TURNED_BY_TAG else plain
    np.testing.assert_array_equal(pixels_of(path), expected)
    assert set(size_of(path)) == {12, 9}


@pytest.mark.parametrize("orientation", UPRIGHT_AGAIN)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", TURNED_BY_TAG)
def test_every_format_is_turned_by_its_tag(
    kind: str, order: str, orientation: int, tmp_path: Path
) -> None:
    plain = pixels_of(put(tmp_path / "plain", kind, block(order, [], bytes(40))))
    path = put(tmp_path / "x", kind, block(order, [], bytes(40), orientation=orientation))
    np.testing.assert_array_equal(pixels_of(path), UPRIGHT_AGAIN[orientation](plain))
    if kind != "tiff":  # Pillow turns that one itself, so other readers see it upright as well.
        assert is_turned(read_file(path, 8)) == (orientation != 1)


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (block("<", [], orientation=6), 6),
        (b"Exif\0\0" + block(">", [], orientation=8), 8),
        (b"Exif\0\0Exif\0\0" + block(">", [], orientation=3), 3),
        (block("<", [(0x0112, 4, 1, struct.pack("<L", 5))]), 5),
        (block(">", [(0x0112, 1, 1, b"\7\0\0\0")]), 7),
        # Neither a rational nor text, neither two values nor one that EXIF does not know.
        (block("<", [(0x0112, 5, 1, struct.pack("<L", 26))], struct.pack("<LL", 6, 1)), 1),
        (block("<", [(0x0112, 2, 2, b"6\0\0\0")]), 1),
        (block("<", [(0x0112, 3, 2, b"\6\0\6\0")]), 1),
        (block("<", [(0x0112, 3, 1, b"\0\0\0\0")]), 1),
        (block("<", [(0x0112, 3, 1, b"\11\0\0\0")]), 1),
        (block("<", [(0x0112, 9, 1, b"\xff\xff\xff\xff")]), 1),
        (block("<", [], orientation=6)[:12], 1),
        (block("<", [])[:9], 1),
        (b"MM\0*\xff\xff\xff\xff", 1),
        (b"Exif\0\0", 1),
        (b"", 1),
        (b"no EXIF", 1),
    ],
)
def test_the_tag_counts_if_it_is_whole_and_valid(exif: bytes, orientation: int) -> None:
    assert orientation_of({"exif": exif}) == orientation


@pytest.mark.parametrize(
    ("info", "orientation"),
    [
        ({}, 1),
        ({"exif": "text"}, 1),
        ({"xmp": b'<x tiff:Orientation="6"/>'}, 6),
        ({"xmp": b"<x tiff:Orientation='6'/>"}, 6),
        ({"xmp": b"<tiff:Orientation>8</tiff:Orientation>"}, 8),
        ({"xmp": b'<x tiff:Orientation="9"/>'}, 1),
        ({"XML:com.adobe.xmp": '<x tiff:Orientation="3"/>'}, 3),
        ({"exif": block("<", [], orientation=6), "xmp": b'tiff:Orientation="3"'}, 6),
        ({"exif": b"broken", "xmp": b'tiff:Orientation="3"'}, 3),
        (
            {"Raw profile type exif": f"\nexif\n  26\n{block('<', [], orientation=6).hex()}\n"},
            6,
        ),
        ({"Raw profile type exif": "\nexif\n  26\nxyz\n"}, 1),
        ({"Raw profile type exif": ""}, 1),
    ],
)
def test_the_orientation_is_found_wherever_software_puts_it(
    info: dict[str, object], orientation: int
) -> None:
    assert orientation_of(info) == orientation


def test_a_folder_with_one_such_photograph_keeps_all_its_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("cat", "dog"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(255, size=(12, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "x" / name / f"{i}.png")
    lying = np.zeros((40, 60, 3), np.uint8)
    lying[:, :20] = 255  # Its left third is white, so upright the upper one is.
    content = CARRIERS["jpg"](lying, block("<", *BROKEN["a latitude that is text"], orientation=6))
    (tmp_path / "x" / "cat" / "phone.jpg").write_bytes(content)
    data = load_dataset(
        tmp_path / "x", image_size=12, data_dir=tmp_path / "data", num_train=None, seed=0
    )
    assert (len(data.labels), data.notes) == (13, ())
    assert data.files.num_turned == 1
    (photo,) = data.images[np.array([6])]
    assert (photo[0].min() > 200, photo[-1].max() < 50) == (True, True)


@pytest.mark.parametrize("kind", CARRIERS)
def test_a_bare_file_has_the_pixels_and_nothing_else(kind: str, tmp_path: Path) -> None:
    secret = b"taken by somebody somewhere"
    exif = block("<", [(0x010E, 2, len(secret), struct.pack("<L", 26))], secret)
    path = put(tmp_path / "x", kind, exif)
    bare = without_metadata(path.read_bytes())
    if kind == "webp":  # Pillow does not look into its EXIF, so that none needs to be taken out.
        assert bare is None
        return
    assert bare is not None
    (tmp_path / "bare").write_bytes(bare.content)
    np.testing.assert_array_equal(pixels_of(tmp_path / "bare"), pixels_of(path))
    assert without_metadata(bare.content) is None
    with Image.open(tmp_path / "bare") as image:
        image.load()
        assert 0x010E not in image.getexif()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"II*\0\xff\xff\xff\xff"]
)
def test_what_is_no_whole_file_has_nothing_to_take_out(content: bytes) -> None:
    assert without_metadata(content) is None
