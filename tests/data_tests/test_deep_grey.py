"""Greyscale of more than 8 bits: one scale for a dataset, and what is said of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainable.data.bulk_decode import decode_all
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.image_cache import load_images
from trainable.data.image_sources import FileSource
from trainable.data.pixels.deep_grey import (
    FLOATS,
    INTEGERS,
    GreyRange,
    GreyScale,
    hash_of,
    kind_of,
    range_of,
    to_grey,
)
from trainable.data.pixels.image_decode import read_file
from trainable.data.streamed_images import StreamedImages

Values = NDArray[Any]


def greys(path: Path, low: float, high: float) -> list[list[int]]:
    image = to_grey(read_file(path, 1024), GreyRange(low=low, high=high))
    pixels: list[list[int]] = np.asarray(image)[:, :, 0].tolist()
    return pixels


def save(path: Path, values: Values) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def sensor(root: Path, *, top: int, count: int = 12, suffix: str = ".tif") -> None:
    """Two classes of 16-bit pictures that reach up to ``top``, all different."""
    rng = np.random.default_rng(0)
    for share, name in ((2, "healthy"), (1, "sick")):
        for i in range(count):
            values = rng.integers(0, top // share, size=(16, 16)).astype(np.uint16)
            values[0, 0], values[0, 1] = 0, top // share
            save(root / name / f"{i:02}{suffix}", values)


def load(root: Path, data_dir: Path, **changes: Any) -> Dataset:
    arguments = {"image_size": 16, "num_train": None, "seed": 0} | changes
    return load_dataset(root, data_dir=data_dir, **arguments)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"x{suffix}", np.array([[0, 256, 32_768, 65_535]], np.uint16))
    assert greys(path, 0, 65_535) == [[0, 1, 128, 255]]


def test_wide_integers_and_floats_are_scaled_too(tmp_path: Path) -> None:
    wide = save(tmp_path / "i.tif", np.array([[-500_000, 0, 500_000]], np.int32))
    assert greys(wide, -500_000, 500_000) == [[0, 128, 255]]
    floats = save(tmp_path / "f.tif", np.array([[0.0, 0.01, 0.02]], np.float32))
    assert greys(floats, 0.0, 0.02) == [[0, 127, 255]]


def test_what_is_no_number_is_black_and_what_is_beyond_the_range_is_clipped(tmp_path: Path) -> None:
    values = np.array([[np.nan, -np.inf, -9.0, 1.0, 9.0, np.inf]], np.float32)
    path = save(tmp_path / "x.tif", values)
    assert range_of(read_file(path, 8)) == GreyRange(low=-9.0, high=9.0)
    assert greys(path, 0.0, 2.0) == [[0, 0, 0, 128, 255, 255]]
    nothing = save(tmp_path / "nothing.tif", np.full((2, 2), np.nan, np.float32))
    assert greys(nothing, 0.0, 0.0) == [[0, 0], [0, 0]]


def test_a_picture_of_one_value_is_black_and_not_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "x.tif", np.full((2, 2), 700, np.uint16))
    assert range_of(read_file(path, 8)) == GreyRange(low=700, high=700)
    assert greys(path, 700, 700) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("ends", [(1, 0), (np.nan, 1), (0, np.inf), (-np.inf, 0)])
def test_a_range_has_two_ends_in_order(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="`low <= high` must hold"):
        GreyRange(low=ends[0], high=ends[1])


def test_a_scale_spans_all_pictures_and_knows_the_one_in_the_middle() -> None:
    ranges = [GreyRange(low=100, high=200), GreyRange(low=0, high=250), GreyRange(low=0, high=1000)]
    assert GreyScale.of(ranges) == GreyScale(
        black_to_white=GreyRange(low=0, high=1000), num_images=3, typical_levels=1 + 64
    )


def test_equal_values_are_equal_whatever_the_file_and_others_are_not(tmp_path: Path) -> None:
    values = np.array([[3, 70], [1, 2]], np.uint16)
    same = [save(tmp_path / f"x{suffix}", values) for suffix in (".png", ".tif", ".pgm")]
    others = [
        save(tmp_path / "turned.png", values.T.copy()),
        save(tmp_path / "flat.png", values.reshape(1, 4)),
        save(tmp_path / "one.png", values + 1),
        save(tmp_path / "float.tif", values.astype(np.float32)),
    ]
    assert len({hash_of(read_file(path, 8)) for path in same}) == 1
    assert len({hash_of(read_file(path, 8)) for path in [*same, *others]}) == 5


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.zeros((2, 2), np.uint8), None),
        (np.zeros((2, 2), np.uint16), INTEGERS),
        (np.zeros((2, 2), np.int32), INTEGERS),
        (np.zeros((2, 2), np.float32), FLOATS),
    ],
)
def test_deep_greyscale_is_told_from_the_rest(
    tmp_path: Path, values: Values, kind: str | None
) -> None:
    assert kind_of(read_file(save(tmp_path / "x.tif", values), 8)) == kind


def test_a_deep_photograph_is_turned_upright_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Stored turned to the left.
    upright = np.arange(6, dtype=np.uint16).reshape(3, 2) * 300
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_file(tmp_path / "x.png", 8)), upright)


# A dataset.


@pytest.mark.parametrize("top", [120, 1023, 1400, 4095, 65_535])
def test_the_pictures_of_any_sensor_keep_their_grey_levels(tmp_path: Path, top: int) -> None:
    sensor(tmp_path / "scans", top=top)
    data = load(tmp_path / "scans", tmp_path / "data")
    everything = data.images[np.arange(24)]
    assert (everything.min(), everything.max()) == (0, 255)
    # The healthy ones are half as bright as the sick: a range for each would hide it.
    assert everything[:12].max() == round(255 * (top // 2) / top)
    assert len(np.unique(everything[12:])) == min(top + 1, 256)
    said = [note for note in data.notes if "24 images are greyscale of more than 8 bits" in note]
    assert len(said) == 1
    assert f"0 is black and {top} is white" in said[0]
    assert not [note for note in data.notes if "Exact copies" in note]


def test_different_pictures_are_no_copies_even_where_scaling_makes_them_equal(
    tmp_path: Path,
) -> None:
    sensor(tmp_path / "scans", top=60)
    # One hot pixel makes everything else black.
    hot = np.zeros((16, 16), np.uint16)
    hot[0, 0] = 65_535
    save(tmp_path / "scans" / "sick" / "hot.tif", hot)
    data = load(tmp_path / "scans", tmp_path / "data")
    assert len(np.unique(data.images[np.arange(24)])) == 1
    assert not [note for note in data.notes if "Exact copies" in note]
    (said,) = (note for note in data.notes if "greyscale" in note)
    assert "half of them use at most 1 of its 256 grey levels" in said


def test_true_copies_are_found_in_another_format(tmp_path: Path) -> None:
    sensor(tmp_path / "scans" / "train", top=1400)
    sensor(tmp_path / "scans" / "test", top=1399, count=3)
    with Image.open(tmp_path / "scans" / "train" / "sick" / "05.tif") as image:
        image.save(tmp_path / "scans" / "test" / "sick" / "copy.png")
    notes = load(tmp_path / "scans", tmp_path / "data").notes
    (said,) = (note for note in notes if "Exact copies" in note)
    assert "1 of 7 test images" in said
    assert "test/sick/copy.png = train/sick/05.tif" in said


def test_pictures_of_eight_bits_beside_deep_ones_stay_as_they_are(tmp_path: Path) -> None:
    sensor(tmp_path / "scans", top=1400)
    flat = np.full((16, 16), 77, np.uint8)
    save(tmp_path / "scans" / "sick" / "x.png", flat)
    data = load(tmp_path / "scans", tmp_path / "data")
    assert (data.images[np.array([24])] == 77).all()
    assert any("24 images are greyscale" in note for note in data.notes)


def test_whole_numbers_and_floats_have_a_scale_each(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "i.png", np.array([[0, 1400], [700, 7]], np.uint16)),
        save(tmp_path / "f.tif", np.array([[0, 0.5], [0.25, 0]], np.float32)),
    ]
    source = FileSource(tmp_path, [path.name for path in paths])
    out = np.empty((2, 2, 2, 3), np.uint8)
    scales = decode_all(source, image_size=2, out=out).scales
    assert scales[INTEGERS].black_to_white == GreyRange(low=0, high=1400)
    assert scales[FLOATS].black_to_white == GreyRange(low=0, high=0.5)
    assert out[..., 0].tolist() == [[[0, 255], [128, 1]], [[0, 255], [128, 0]]]


def test_the_scale_is_kept_with_the_cache_and_goes_with_streamed_images(tmp_path: Path) -> None:
    sensor(tmp_path / "scans", top=1400)
    names = sorted(
        path.relative_to(tmp_path).as_posix() for path in (tmp_path / "scans").rglob("*.tif")
    )
    source = FileSource(tmp_path, names)
    built, found, streamed, again, memory = (
        load_images(source, image_size=16, cache_dir=folder, memory_bytes=memory)
        for folder, memory in (
            (tmp_path / "held", 2**40),
            (tmp_path / "held", 2**40),
            (tmp_path / "streamed", 1),
            (tmp_path / "streamed", 1),
            (None, 2**40),
        )
    )
    assert isinstance(again.images, StreamedImages)
    everything = np.arange(24)
    for other in (found, streamed, again, memory):
        assert other.readable.scales == built.readable.scales
        np.testing.assert_array_equal(other.images[everything], built.images[everything])
        np.testing.assert_array_equal(other.readable.hashes, built.readable.hashes)


def test_the_digest_tells_values_apart_that_one_scale_makes_equal(tmp_path: Path) -> None:
    digests = set()
    for name, factor in (("single", 1), ("double", 2), ("single again", 1)):
        sensor(tmp_path / name, top=1000 * factor)
        if factor == 2:  # Every value twice that of the other dataset: scaled, they are the same.
            for path in (tmp_path / name).rglob("*.tif"):
                original = tmp_path / "single" / path.relative_to(tmp_path / name)
                with Image.open(original) as image:
                    save(path, np.asarray(image) * 2)
        digests.add(load(tmp_path / name, tmp_path / "data").digest)
    assert len(digests) == 2


def test_sixteen_bit_colour_is_said_to_lose_its_lower_half(tmp_path: Path) -> None:
    """Pillow has no such mode and reads the upper 8 bits; a ready file, as it cannot write one."""
    for name in ("a", "b"):
        for i in range(4):
            values = np.full((4, 4, 3), 1000 * i + 7, ">u2")
            content = b"P6 4 4 65535\n" + values.tobytes()
            path = tmp_path / "x" / name / f"{i}.ppm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    notes = load(tmp_path / "x", tmp_path / "data").notes
    assert any("8 images have 16 bits a colour" in note for note in notes)
