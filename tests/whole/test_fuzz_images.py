"""Images, folders of them and their cache, broken in every way, end soon and in one line."""

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from spaces.errors import InputError
from tests.support.exif_blocks import CARRIERS, UPRIGHT_AGAIN, block, exif_blocks
from tests.support.fuzzing import (
    BAD_JSON,
    ODD,
    as_json,
    examples,
    fuzz,
    in_time,
    is_one_line,
    mutated_bytes,
    outcome,
)
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.folders.image_folder import list_image_folder
from trainable.data.image_cache import load_images
from trainable.data.image_sources import ArraySource
from trainable.data.pixels.image_decode import UnreadableImageError, read_file, to_square
from trainable.data.pixels.orientation import orientation_of

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "palette.png": ("PNG", {"mode": "P"}),
    "interlaced.png": ("PNG", {"pnginfo": None}),
    "grey.png": ("PNG", {"mode": "I;16"}),
    "jpg": ("JPEG", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"}),
    "cmyk.jpg": ("JPEG", {"mode": "CMYK", "progressive": True}),
    "gif": ("GIF", {"mode": "P"}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "lzw.tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "float.tiff": ("TIFF", {"mode": "F"}),
    "ppm": ("PPM", {}),
    "webp": ("WEBP", {}),
    "avif": ("AVIF", {}),
}


def encoded(kind: str) -> bytes:
    """A picture of 12 x 9 pixels as a file of this kind."""
    form, given = KINDS[kind]
    options = dict(given)
    mode = options.pop("mode", "RGB")
    pixels = np.random.default_rng(0).integers(256, size=(9, 12, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@examples(40, 20_000)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Odd metadata; `decode_all` ignores them.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_broken_image_is_decoded_or_unreadable(kind: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind.rpartition('.')[2]}"
    path.write_bytes(encoded(kind))
    assert to_square(read_file(path, 8), 8).shape == (8, 8, 3)

    @fuzz(count, mutated_bytes(encoded(kind)))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with in_time():
            try:
                square = to_square(read_file(path, 8), 8)
            except UnreadableImageError:
                return
        assert square.shape == (8, 8, 3)
        assert square.dtype == np.uint8


@examples(60, 20_000)
@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_exif_costs_a_picture_or_its_orientation(kind: str, count: int, tmp_path: Path) -> None:
    scene = np.random.default_rng(0).integers(60, 200, size=(9, 12, 3)).astype(np.uint8)
    path = tmp_path / "x"
    path.write_bytes(CARRIERS[kind](scene, block("<", [], bytes(40))))
    plain = np.asarray(read_file(path, 1024))

    @fuzz(count, exif_blocks())
    def check(made: tuple[bytes, int]) -> None:
        exif, orientation = made
        path.write_bytes(CARRIERS[kind](scene, exif))
        with in_time():
            found = np.asarray(read_file(path, 1024))
        # The container of an AVIF says how it lies.
        expected = plain if kind == "avif" else UPRIGHT_AGAIN[orientation](plain)
        np.testing.assert_array_equal(found, expected)


@examples(200, 20_000)
def test_broken_bytes_for_exif_are_an_orientation_all_the_same(count: int) -> None:
    valid = block("<", [(0x010F, 2, 4, b"abc\0"), (0x011A, 5, 1, b"\x3e\0\0\0")], bytes(16))

    @fuzz(count, st.sampled_from([b"", b"Exif\0\0"]), mutated_bytes(valid) | st.binary())
    def check(prefix: bytes, exif: bytes) -> None:
        with in_time():
            assert orientation_of({"exif": prefix + exif}) in UPRIGHT_AGAIN


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(
    width: int, height: int, *, data: bytes = b"", before: bytes = b"", packed: bytes = b""
) -> bytes:
    """A PNG of one bit a pixel that says it has these sides, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", packed or zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + body + chunk(b"IEND", b"")


def zeros(length: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(length // 2**20)) + packer.flush()


def bomb(name: bytes, content: bytes) -> bytes:
    """A sound little PNG behind a chunk that unpacks to 100 MB."""
    return png(8, 8, data=bytes(16), before=chunk(name, content + zeros(100 * 2**20)))


SIDE = b"\xff" * 4
BOMBS: dict[str, Callable[[], bytes]] = {
    "claims a square of 2 ** 31": lambda: png(2**31 - 1, 2**31 - 1),
    "is a square of 20 000 in 50 kB": lambda: png(20_000, 20_000, packed=zeros(50 * 2**20)),
    "is a GIF of 65 535 squared": lambda: (
        b"GIF89a" + SIDE + b"\0\0\0,\0\0\0\0" + SIDE + b"\0\x02\0;"
    ),
    "is a PPM of 10 ** 9 columns": lambda: b"P6 1000000000 1 255\n",
    "is EPS": lambda: EPS,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_bomb_does_not_go_off(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(BOMBS[name]())
    with in_time(), pytest.raises(UnreadableImageError):
        to_square(read_file(path, 8), 8)


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_bomb_beside_the_pixels_is_left_aside(name: bytes, tmp_path: Path) -> None:
    head = {b"zTXt": b"k\0\0", b"iCCP": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[name]
    path = tmp_path / "x.png"
    path.write_bytes(bomb(name, head))
    with in_time():
        assert to_square(read_file(path, 8), 8).max() == 0


def test_postscript_is_never_taken_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would hand it to Ghostscript, whatever its ending says."""
    ran: list[Any] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **more: ran.append(given))
    path = tmp_path / "x.jpg"
    path.write_bytes(EPS)
    with pytest.raises(OSError, match="cannot identify"):
        read_file(path, 8)
    assert ran == []


ODD_NAMES = [
    b"x.png",
    b"\xff\xfe.png",
    "\u0645\u06cc\u200c\u062e.png".encode(),
    b"a\nb.png",
    b"\x1b]0;t\x07.png",
    b"-rf.png",
    b".hidden.png",
    b"con.jpg",
    b"n" * 250 + b".png",
    b" .png",
    b"*.png",
    b"train",
    b"test",
]
GOOD = encoded("png")


def put(where: Path, what: str, content: bytes) -> None:
    """One odd thing at a path."""
    links: dict[str, str | Path] = {
        "loop": where,
        "dangling": "/nowhere/at/all",
        "zero": "/dev/zero",
        "up": "..",
    }
    if what in links:
        where.symlink_to(links[what])
    elif what == "pipe":
        os.mkfifo(where)
    elif what == "folder of images":
        where.mkdir()
        for i in range(4):
            (where / f"{i}.png").write_bytes(content)
    elif what == "deep":
        where.joinpath(*["d" * 20] * 30).mkdir(parents=True)
    elif what == "folder":
        where.mkdir()
    else:
        where.write_bytes(content)
        where.chmod(0 if what == "unreadable" else 0o600)


THINGS = (
    *("file", "file", "folder", "folder of images", "pipe", "unreadable", "deep"),
    *("loop", "dangling", "zero", "up"),
)


@examples(60, 4000)
def test_an_odd_folder_of_images_is_read_or_refused(count: int, tmp_path: Path) -> None:
    contents = st.one_of(
        st.just(GOOD),
        st.binary(max_size=64),
        st.sampled_from(sorted(KINDS)).flatmap(lambda kind: mutated_bytes(encoded(kind))),
        st.sampled_from([b"", png(2**31 - 1, 1), png(60_000, 60_000), EPS]),
    )
    odd = st.tuples(
        st.sampled_from([".", "a", "b", "train", "train/a"]),
        st.sampled_from(ODD_NAMES),
        st.sampled_from(THINGS),
        contents,
    )
    numbers = iter(range(10**9))

    @fuzz(count, st.lists(odd, min_size=1, max_size=4), st.booleans(), st.integers(3, 200))
    def check(things: list[tuple[str, bytes, str, bytes]], is_split: bool, size: int) -> None:
        root = tmp_path / str(next(numbers))
        parts = ["train/a", "train/b", "val/a", "val/b"] if is_split else ["a", "b"]
        for part in parts:
            (root / part).mkdir(parents=True)
            for i in range(min(size, 20)):
                (root / part / f"{i}.png").write_bytes(GOOD)
        for folder, name, what, content in things:
            where = root / folder / os.fsdecode(name)
            if where.parent.is_dir() and where not in where.parent.iterdir():
                put(where, what, content)
        found = outcome(
            lambda: load_dataset(
                root, image_size=8, data_dir=tmp_path / "data", num_train=None, seed=0
            )
        )
        if found is not None:
            assert isinstance(found, Dataset)
            # Everything that is told of it can be printed and written.
            "".join([found.name, *found.class_names, *found.notes]).encode()


@pytest.mark.parametrize("what", ["loop", "dangling", "zero", "pipe"])
def test_what_is_no_file_is_named_among_the_unreadable_images(what: str, tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / "root" / part).mkdir(parents=True)
        for i in range(100):
            (tmp_path / "root" / part / f"{i}.png").write_bytes(GOOD)
    put(tmp_path / "root" / "a" / "odd.png", what, b"")
    found = load_dataset(tmp_path / "root", image_size=8, data_dir=tmp_path, num_train=None, seed=0)
    assert len(found.labels) == 200
    assert any("1 of 201 images are unreadable and left out: a/odd.png" in n for n in found.notes)


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"\x1b[31m", "\u2028".encode()])
def test_a_class_whose_name_cannot_be_printed_is_refused(name: bytes, tmp_path: Path) -> None:
    for folder in (b"a", name):
        (tmp_path / os.fsdecode(folder)).mkdir()
    with pytest.raises(InputError, match="name of a class must be text") as caught:
        list_image_folder(tmp_path)
    assert is_one_line(str(caught.value))
    str(caught.value).encode()


@examples(60, 5000)
def test_a_broken_cache_is_built_again(count: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(6, 9, 9)).astype(np.uint8)
    source = ArraySource(pixels)

    def load() -> Any:
        return load_images(source, image_size=8, cache_dir=tmp_path)

    truth = np.array(load().images)
    files = sorted(p for p in tmp_path.iterdir() if p.suffix in (".npy", ".json"))
    valid = [path.read_bytes() for path in files]
    assert len(files) == 3

    junk = [b"", b"\x80\x04N.", b"PK\x03\x04", b"\x93NUMPY", *BAD_JSON]
    junk += [as_json({"skipped": value}) for value in ODD]
    # Pixels are not checked: only what says how to read them is changed.
    heads = [mutated_bytes(content[:128]) for content in valid]
    broken = st.integers(0, 2).flatmap(
        lambda which: st.tuples(
            st.just(which),
            st.one_of(
                heads[which].map(lambda head: head + valid[which][128:]), st.sampled_from(junk)
            ),
        )
    )

    @fuzz(count, broken)
    def check(change: tuple[int, bytes]) -> None:
        for path, content in zip(files, valid, strict=True):
            path.write_bytes(content)
        files[change[0]].write_bytes(change[1])
        found = outcome(load)
        assert found is not None
        assert found.images.shape[1:] == truth.shape[1:]
        assert len(found.images) == len(found.readable.kept) == len(found.readable.hashes)
