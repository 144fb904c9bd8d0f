"""Images that look almost like one of another part are told; images of one kind are not."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from trainable.data import near_copies
from trainable.data.datasets import load_dataset
from trainable.data.near_copies import notes_on_near_copies, perceptual_hashes
from trainable.data.pixels.thumbnail import SIDE, thumbnail
from trainable.data.splits import Split

Bytes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def crops() -> list[Image.Image]:
    """Forty crops of two photographs that do not overlap."""
    found = []
    for pixels in load_sample_images().images:
        picture = Image.fromarray(pixels)
        places = [(x, y) for x in range(0, 600, 120) for y in range(0, 400, 100)]
        found += [picture.crop((x, y, x + 96, y + 96)) for x, y in places]
    return found


def thumbnails_of(pictures: list[Image.Image]) -> Bytes:
    return np.stack([thumbnail(np.asarray(picture.convert("RGB"))) for picture in pictures])


def jpeg(picture: Image.Image) -> Image.Image:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=60)
    return Image.open(stream)


def notes(thumbnails: Bytes, *, num_test: int, hashes: list[int] | None = None) -> list[str]:
    """Notes on a split whose first images are tested on, with all others in train."""
    numbers = np.arange(len(thumbnails))
    split = Split(train=numbers[num_test:], val=numbers[:0], test=numbers[:num_test])
    told = np.array(hashes if hashes is not None else numbers, np.uint64)
    return notes_on_near_copies(thumbnails, told, split, name_of=lambda i: f"image {i}")


def test_a_hash_is_the_signs_of_differences_between_neighbours() -> None:
    """Against a loop over the boxes, on pictures whose boxes are whole pixels."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(255, size=(3, 9, 9)).astype(np.uint8)
    for picture, found in zip(pictures, perceptual_hashes(pictures), strict=True):
        across = [picture[i, j + 1] > picture[i, j] for i in range(8) for j in range(8)]
        down = [picture[i + 1, j] > picture[i, j] for i in range(8) for j in range(8)]
        for bits, word in ((across, found[0]), (down, found[1])):
            assert np.packbits(bits).tobytes() == word.tobytes()


def test_boxes_average_what_they_cover() -> None:
    boxes = near_copies._boxes(16, 9)
    assert boxes.sum(axis=1) == pytest.approx(np.ones(9))
    # The second box covers 7/9 of pixel 1 ... : from 16/9 to 32/9.
    assert boxes[1, :5] * 16 / 9 == pytest.approx([0, 2 / 9, 1, 5 / 9, 0])


@pytest.mark.parametrize(
    "changed",
    [
        jpeg,
        lambda picture: picture.resize((48, 48)),
        lambda picture: picture.point(lambda level: 0.9 * level + 5),
    ],
)
def test_pictures_saved_again_are_near_copies(changed: object, crops: list[Image.Image]) -> None:
    again = [changed(picture) for picture in crops[:10]]  # type: ignore[operator]
    (said,) = notes(thumbnails_of([*again, *crops]), num_test=10)
    # One or two may change more than the limits permit.
    found = int(said.split()[2])
    assert 8 <= found <= 10
    assert f"{found} of 10 test images look almost like one in train ({found * 10:.1f}%)" in said


def test_the_example_is_a_true_pair(crops: list[Image.Image]) -> None:
    (said,) = notes(thumbnails_of([crops[7], jpeg(crops[20]), *crops[8:]]), num_test=2)
    assert "1 of 2 test images" in said
    assert "such as image 1 and image 14." in said


def test_crops_of_one_photograph_and_digits_of_one_kind_are_none(crops: list[Image.Image]) -> None:
    assert notes(thumbnails_of(crops), num_test=10) == []
    digits = (load_digits().images * 15.9).astype(np.uint8)
    pictures = [Image.fromarray(pixels).resize((32, 32)) for pixels in digits]
    assert notes(thumbnails_of(pictures), num_test=300) == []


def test_flat_pictures_and_exact_copies_are_no_near_copies(crops: list[Image.Image]) -> None:
    flat = np.full((8, SIDE, SIDE), 7, np.uint8)
    flat[:, 0, 0] = np.arange(8)
    assert notes(flat, num_test=4) == []
    same = thumbnails_of([crops[0], crops[0]])
    assert len(notes(same, num_test=1)) == 1
    assert notes(same, num_test=1, hashes=[5, 5]) == []


def test_of_many_pairs_some_are_compared_and_the_share_is_theirs(
    crops: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = thumbnails_of([*(jpeg(picture) for picture in crops[:20]), *crops])
    (whole,) = notes(pictures, num_test=20)
    assert "of 20 test images look" in whole
    monkeypatch.setattr(near_copies, "MOST_PAIRS", 200)
    (some,) = notes(pictures, num_test=20)
    assert "of 5 test images that were looked at look" in some


def test_blocks_of_pairs_give_the_same_as_all_at_once(
    crops: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = thumbnails_of([*(jpeg(picture) for picture in crops[:20]), *crops])
    whole = notes(pictures, num_test=20)
    monkeypatch.setattr(near_copies, "_ROWS_BYTES", 1)
    assert notes(pictures, num_test=20) == whole


def test_a_folder_says_so_from_the_cache_too(crops: list[Image.Image], tmp_path: Path) -> None:
    for part, made in (("train", lambda picture: picture), ("test", jpeg)):
        for label in ("a", "b"):
            folder = tmp_path / "root" / part / label
            folder.mkdir(parents=True)
            for i, picture in enumerate(crops[:20] if label == "a" else crops[20:]):
                made(picture).save(folder / f"{i}.png")
    said = [
        [
            note
            for note in load_dataset(
                tmp_path / "root", image_size=64, data_dir=tmp_path, num_train=None, seed=0
            ).notes
            if note.startswith("Near copies")
        ]
        for _ in range(2)
    ]
    assert said[0] == said[1]
    assert "test images look almost like one in train" in said[0][0]
