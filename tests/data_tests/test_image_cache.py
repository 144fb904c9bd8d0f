"""Files of every kind come out as a person sees them, once, and a broken build is not trusted."""

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from spaces.errors import InputError
from trainable.data import image_cache
from trainable.data.bulk_decode import decode_all
from trainable.data.image_cache import DecodedImages, load_images
from trainable.data.image_sources import ArraySource, FileSource
from trainable.data.memory import memory_of_machine
from trainable.data.pixels.image_decode import UnreadableImageError, read_file, to_rgb, to_square
from trainable.data.streamed_images import StreamedImages
from trainable.whole_file import commit

Bytes = NDArray[np.uint8]
SCENE = np.random.default_rng(0).integers(256, size=(11, 7, 3)).astype(np.uint8)
"""Higher than wide, and no two pixels alike."""


def pixels_of(path: Path) -> Bytes:
    return np.asarray(read_file(path, 1024))


# What a person sees. The expected values are written down from the meaning of the format.


def test_a_plain_png_comes_out_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "x.png"), SCENE)


def test_grey_fills_all_three_channels(tmp_path: Path) -> None:
    Image.fromarray(SCENE[:, :, 0]).save(tmp_path / "x.png")
    for channel in range(3):
        np.testing.assert_array_equal(pixels_of(tmp_path / "x.png")[:, :, channel], SCENE[:, :, 0])


def test_black_and_white_come_out_as_0_and_255(tmp_path: Path) -> None:
    bits = SCENE[:, :, 0] > 127
    Image.fromarray(bits).save(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "x.png")[:, :, 1], np.where(bits, 255, 0))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "x.png")
    assert pixels_of(tmp_path / "x.png")[:, :, 2].tolist() == [[30, 60], [90, 60]]


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "x.png", transparency=1)
    assert pixels_of(tmp_path / "x.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[100, 0, 200, 255], [100, 0, 200, 0], [100, 0, 200, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    # A fifth of the colour and four fifths of white.
    assert pixels_of(tmp_path / "x.png").tolist() == [
        [[100, 0, 200], [255, 255, 255], [224, 204, 244]]
    ]


def test_transparent_grey_lies_over_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[40, 255], [40, 0]]], np.uint8), mode="LA").save(tmp_path / "x.png")
    assert pixels_of(tmp_path / "x.png")[:, :, 0].tolist() == [[40, 255]]


def test_a_colour_declared_transparent_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    image.save(tmp_path / "x.png", transparency=(4, 5, 6))
    assert pixels_of(tmp_path / "x.png").tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_cmyk_comes_out_in_its_colours(tmp_path: Path) -> None:
    inks = {(255, 0, 0, 0): (0, 255, 255), (0, 255, 0, 0): (255, 0, 255), (0, 0, 0, 255): (0, 0, 0)}
    for ink, colour in inks.items():
        Image.new("CMYK", (16, 16), ink).save(tmp_path / "x.jpg", quality=100)
        seen = pixels_of(tmp_path / "x.jpg").reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(seen, colour, atol=3)


# The eight orientations of EXIF, each as what a camera did to the scene it stored.
STORED: dict[int, Callable[[Bytes], Bytes]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_photograph_is_turned_back(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](SCENE))
    Image.fromarray(stored).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(tmp_path / "x.png"), SCENE)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (8, 8), (2, 6)])
def test_scaling_and_cutting_in_one_step_is_scaling_all_and_then_cutting(
    shape: tuple[int, int],
) -> None:
    # No extreme values: where bicubic overshoots, the order of its two passes matters.
    pixels = np.random.default_rng(3).integers(96, 160, size=(*shape, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    scale = 16 // min(shape)
    width, height = image.width * scale, image.height * scale
    left, top = (width - 16) // 2, (height - 16) // 2
    whole = image.resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, top, left + 16, top + 16))).astype(int)
    np.testing.assert_allclose(to_square(image, 16), expected, atol=1)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    square = SCENE[:7]
    np.testing.assert_array_equal(to_square(Image.fromarray(square), 7), square)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = to_rgb(Image.fromarray(board.astype(np.uint8)))
    assert np.abs(to_square(image, 8).astype(int) - 127).max() <= 2


def test_a_jpeg_decoded_at_a_fraction_looks_like_one_decoded_in_full(tmp_path: Path) -> None:
    y, x = np.mgrid[0:480, 0:640] / 80
    scene = np.stack([np.sin(x) * 90 + 128, np.cos(y) * 90 + 128, np.sin(x + y) * 90 + 128], axis=2)
    Image.fromarray(scene.astype(np.uint8)).save(tmp_path / "x.jpg", quality=95)
    with Image.open(tmp_path / "x.jpg") as whole:
        expected = to_square(whole.convert("RGB"), 32)
    read = read_file(tmp_path / "x.jpg", 32)
    assert read.size[1] < 480
    assert min(read.size) >= 64
    assert np.abs(to_square(read, 32).astype(int) - expected).max() <= 6


# The cache.


class Counting(ArraySource):
    """Counts how often each image is read; some cannot be."""

    def __init__(self, pixels: Bytes, broken: tuple[int, ...] = (), pause_s: float = 0.0) -> None:
        super().__init__(pixels)
        self.broken = broken
        self.pause_s = pause_s
        self.reads: Counter[int] = Counter()

    def read(self, index: int, image_size: int) -> Image.Image:
        time.sleep(self.pause_s)
        self.reads[index] += 1
        if index in self.broken:
            raise UnreadableImageError("cannot identify it")
        return super().read(index, image_size)


def noise(count: int, side: int = 8, seed: int = 0) -> Bytes:
    shape = (count, side, side, 3)
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


def load(source: ArraySource, folder: Path, *, memory_bytes: int = 2**40) -> DecodedImages:
    return load_images(source, image_size=8, cache_dir=folder, memory_bytes=memory_bytes)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"build.lock"}


def test_images_are_decoded_once_and_found_afterwards(tmp_path: Path) -> None:
    pixels = noise(100)
    source = Counting(pixels)
    for _ in range(3):
        found = load(source, tmp_path / "cache")
        np.testing.assert_array_equal(found.images[np.arange(100)], pixels)
        assert found.readable.kept.tolist() == list(range(100))
        assert found.readable.skipped == ()
    assert source.reads == Counter(range(100))


def test_cached_images_are_a_read_only_view_of_the_file_that_ray_can_share(tmp_path: Path) -> None:
    load(ArraySource(noise(100)), tmp_path)
    images = load(ArraySource(noise(100)), tmp_path).images
    assert type(images) is np.ndarray  # A `memmap` would be pickled by copy.
    assert isinstance(images.base, np.memmap)
    assert not images.flags.writeable
    buffers: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(images, protocol=5, buffer_callback=buffers.append)) < 1000
    assert buffers[0].raw().nbytes == images.nbytes


def test_another_size_or_other_images_have_another_cache(tmp_path: Path) -> None:
    for seed in (0, 1):
        for size in (8, 9):
            pixels = noise(20, seed=seed)
            found = load_images(ArraySource(pixels), image_size=size, cache_dir=tmp_path)
            assert found.images[np.array([0])].shape == (1, size, size, 3)
            expected = to_square(Image.fromarray(pixels[7]), size)
            np.testing.assert_array_equal(found.images[np.array([7])][0], expected)


def test_equal_images_have_equal_hashes_and_others_do_not() -> None:
    pixels = noise(50)
    pixels[31] = pixels[4]
    hashes = decode_all(ArraySource(pixels), image_size=8).hashes.tolist()
    assert hashes[31] == hashes[4]
    assert len(set(hashes)) == 49


def test_unreadable_images_are_named_skipped_and_remembered(tmp_path: Path) -> None:
    pixels = noise(300)
    good = np.setdiff1d(np.arange(300), [5, 299])
    for _ in range(2):
        found = load(Counting(pixels, broken=(299, 5)), tmp_path)
        assert found.readable.skipped == (
            ("image 5", "cannot identify it"),
            ("image 299", "cannot identify it"),
        )
        np.testing.assert_array_equal(found.readable.kept, good)
        np.testing.assert_array_equal(found.images[np.arange(298)], pixels[good])
        assert len(found.readable.hashes) == 298
    in_memory = load_images(Counting(pixels, broken=(5, 299)), image_size=8, cache_dir=None)
    np.testing.assert_array_equal(in_memory.images[np.arange(298)], pixels[good])


@pytest.mark.parametrize(
    ("count", "broken", "fine"), [(100, 1, True), (99, 1, False), (300, 4, False)]
)
def test_more_than_one_in_a_hundred_unreadable_images_are_an_error(
    tmp_path: Path, count: int, broken: int, fine: bool
) -> None:
    source = Counting(noise(count), broken=tuple(range(7, 7 + broken)))
    if fine:
        assert len(load(source, tmp_path).readable.kept) == count - broken
        return
    with pytest.raises(InputError, match=rf"but {broken} of {count} are; the first is 'image 7'"):
        load(source, tmp_path)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0"]
)
def test_files_that_are_no_images_are_unreadable_and_not_a_crash(
    tmp_path: Path, content: bytes
) -> None:
    for i in range(100):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "50.png").write_bytes(content)
    source = FileSource(tmp_path, [f"{i}.png" for i in range(100)])
    readable = decode_all(source, image_size=4)
    assert [name for name, _ in readable.skipped] == ["50.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".ppm"])
def test_an_image_cut_off_in_the_middle_is_unreadable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    Image.fromarray(noise(1, side=64)[0]).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=f"the first is 'x{suffix}'"):
        decode_all(FileSource(tmp_path, [path.name]), image_size=4)


class Suicidal(ArraySource):
    """Kills its process in the middle of being read."""

    def read(self, index: int, image_size: int) -> Image.Image:
        if index == 70:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index, image_size)


def test_a_build_killed_in_the_middle_leaves_nothing_that_is_trusted(tmp_path: Path) -> None:
    pixels = noise(100)
    process = multiprocessing.get_context("fork").Process(
        target=load, args=(Suicidal(pixels), tmp_path)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert any(name.endswith(".tmp") for name in left_in(tmp_path))
    source = Counting(pixels)
    np.testing.assert_array_equal(load(source, tmp_path).images[np.arange(100)], pixels)
    assert source.reads == Counter(range(100))
    assert not any(name.endswith(".tmp") for name in left_in(tmp_path))


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_build_stopped_between_its_files_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    done: list[Path] = []

    def stop(temporary: Path, final: Path) -> None:
        if len(done) == survived:
            raise KeyboardInterrupt
        done.append(final)
        commit(temporary, final)

    pixels = noise(100)
    monkeypatch.setattr(image_cache, "commit", stop)
    with pytest.raises(KeyboardInterrupt):
        load(Counting(pixels), tmp_path)
    assert len(left_in(tmp_path)) == survived
    monkeypatch.undo()
    source = Counting(pixels)
    np.testing.assert_array_equal(load(source, tmp_path).images[np.arange(100)], pixels)
    assert len(source.reads) == 100


def test_a_cache_that_lost_a_file_is_built_again(tmp_path: Path) -> None:
    load(ArraySource(noise(10)), tmp_path)
    for name in sorted(left_in(tmp_path)):
        (tmp_path / name).unlink()
        source = Counting(noise(10))
        np.testing.assert_array_equal(load(source, tmp_path).images[np.arange(10)], noise(10))
        assert len(source.reads) == 10


def test_two_builders_at_once_decode_once(tmp_path: Path) -> None:
    source = Counting(noise(40), pause_s=0.002)
    results: list[DecodedImages] = []
    threads = [
        threading.Thread(target=lambda: results.append(load(source, tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert source.reads == Counter(range(40))


def test_a_cache_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="`--data-dir` must be writable, but it is not"):
        load(ArraySource(noise(3)), tmp_path / "file" / "cache")


def test_a_cache_larger_than_the_disk_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "_RESERVE_BYTES", 2**60)
    with pytest.raises(InputError, match="give another --data-dir or a smaller --image-size"):
        load(ArraySource(noise(3)), tmp_path)
    assert left_in(tmp_path) == set()


# Streaming.


@pytest.mark.parametrize("indices", [[], [0], [99, 3, 3, 50], list(range(100))])
def test_images_beyond_a_quarter_of_memory_are_streamed_and_look_the_same(
    tmp_path: Path, indices: list[int]
) -> None:
    pixels = noise(101, side=10)
    source = Counting(pixels, broken=(4,))
    needed = 101 * 8 * 8 * 3
    held = load(source, tmp_path / "held", memory_bytes=4 * needed)
    streamed = load(source, tmp_path / "streamed", memory_bytes=4 * needed - 1)
    assert isinstance(held.images, np.ndarray)
    assert isinstance(streamed.images, StreamedImages)
    assert streamed.images.shape == held.images.shape == (100, 8, 8, 3)
    assert len(streamed.images) == 100
    chosen = np.array(indices, np.int64)
    np.testing.assert_array_equal(streamed.images[chosen], held.images[chosen])
    np.testing.assert_array_equal(streamed.readable.hashes, held.readable.hashes)
    assert streamed.readable.skipped == held.readable.skipped
    kept = [path.name for path in (tmp_path / "streamed").iterdir() if path.suffix == ".npy"]
    assert [name.partition(".")[2] for name in kept] == ["hashes.npy"]


def test_streamed_images_are_read_through_once_and_travel_to_other_processes(
    tmp_path: Path,
) -> None:
    source = Counting(noise(50))
    images = load(source, tmp_path, memory_bytes=1).images
    assert source.reads == Counter(range(50))
    load(source, tmp_path, memory_bytes=1)
    assert source.reads == Counter(range(50))
    first = images[np.array([3])]
    travelled = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(travelled[np.array([3])], first)


def test_a_streamed_file_that_broke_meanwhile_is_named(tmp_path: Path) -> None:
    source = Counting(noise(50))
    images = load(source, tmp_path, memory_bytes=1).images
    source.broken = (7,)
    with pytest.raises(RuntimeError, match="'image 7' was readable before: cannot identify it"):
        images[np.array([6, 7])]


def test_the_memory_of_a_machine_is_between_a_hundred_megabytes_and_a_hundred_terabytes() -> None:
    assert 10**8 < memory_of_machine() < 10**14
