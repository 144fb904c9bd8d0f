"""Images from memory become an image folder that is named by its content."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from spaces.errors import InputError
from trainable.data.datasets import load_dataset
from trainable.data.folders.kept_images import FOLDER, keep_images

NUM = 12
LABELS = np.arange(NUM) % 3


def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (NUM, 10, 8, 3), dtype=np.uint8)


class Items:
    """A map-style dataset, as torchvision's are."""

    def __init__(self, classes: list[str] | None = None) -> None:
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(pixels()[index]), int(LABELS[index])


class Columns:
    """A Hugging Face dataset, as far as it is looked at."""

    column_names = ("image", "label", "size")

    def __init__(self, names: list[str] | None = None) -> None:
        self.features = {
            "image": SimpleNamespace(),
            "label": SimpleNamespace(names=names),
            "size": SimpleNamespace(),
        }

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = Image.fromarray(pixels()[index])
        return {"image": image, "label": int(LABELS[index]), "size": 8}


KINDS: dict[str, Callable[[], Any]] = {
    "arrays": lambda: (pixels(), LABELS),
    "tensors": lambda: (torch.from_numpy(pixels()), torch.from_numpy(LABELS)),
    "items": Items,
    "columns": Columns,
    "list": lambda: [Items()[i] for i in range(NUM)],
    "subset": lambda: torch.utils.data.Subset(Items(), range(NUM)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_loaded_again_as_it_was(kind: str, tmp_path: Path) -> None:
    kept = keep_images(KINDS[kind](), tmp_path)

    assert kept.parent == tmp_path / FOLDER
    folders = sorted(path.name for path in kept.iterdir())
    assert folders == ["0", "1", "2"]
    for number, (image, label) in enumerate(zip(pixels(), LABELS, strict=True)):
        with Image.open(kept / str(label) / f"{number:02}.png") as stored:
            assert np.array_equal(np.asarray(stored), image)
    loaded = load_dataset(kept, image_size=8, data_dir=tmp_path, num_train=None, seed=0)
    assert loaded.class_names == ("0", "1", "2")
    assert np.bincount(loaded.labels).tolist() == [4, 4, 4]


def test_equal_content_is_one_folder_and_other_content_another(tmp_path: Path) -> None:
    kept = {kind: keep_images(make(), tmp_path) for kind, make in KINDS.items()}
    assert len(set(kept.values())) == 1
    again = kept["arrays"]
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    assert keep_images((pixels(), LABELS), tmp_path) == again
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before

    changed = pixels()
    changed[3, 0, 0, 0] ^= 1
    others = [
        (changed, LABELS),
        (pixels(), (LABELS + 1) % 3),
        (pixels(), LABELS + 1),
        (pixels()[:9], LABELS[:9]),
        {"train": (pixels(), LABELS)},
        Items(["a", "b", "c"]),
    ]
    assert len({again, *(keep_images(other, tmp_path) for other in others)}) == 1 + len(others)
    assert not list((tmp_path / FOLDER).glob(".*"))  # Nothing begun is left.


@pytest.mark.parametrize(
    ("classes", "folders"),
    [
        (["ant", "bee", "cat"], ["ant", "bee", "cat"]),
        (["cat", "ant", "bee"], ["0 cat", "1 ant", "2 bee"]),
        (["bus", "car", "train"], ["0 bus", "1 car", "2 train"]),
    ],
)
@pytest.mark.parametrize("kind", [Items, Columns])
def test_labels_keep_their_numbers_whatever_the_names(
    kind: Any, classes: list[str], folders: list[str], tmp_path: Path
) -> None:
    kept = keep_images(kind(classes), tmp_path)
    loaded = load_dataset(kept, image_size=8, data_dir=tmp_path, num_train=None, seed=0)

    assert loaded.class_names == tuple(folders)
    assert sorted(p.name for p in (kept / folders[1]).iterdir()) == [
        f"{i:02}.png" for i in range(1, NUM, 3)
    ]


def test_more_than_ten_classes_and_names_as_labels_stay_in_order(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(12), 3)
    many = np.zeros((36, 8, 8, 3), np.uint8)
    kept = keep_images((many, labels), tmp_path)
    assert sorted(p.name for p in kept.iterdir()) == [f"{i:02}" for i in range(12)]
    named = keep_images((many, [f"c{i % 3}" for i in range(36)]), tmp_path)
    assert sorted(p.name for p in named.iterdir()) == ["c0", "c1", "c2"]


def test_given_parts_stay_parts(tmp_path: Path) -> None:
    parts = {"train": (pixels(), LABELS), "test": (pixels()[:6] // 2, LABELS[:6])}
    kept = keep_images(parts, tmp_path)
    loaded = load_dataset(kept, image_size=8, data_dir=tmp_path, num_train=None, seed=0)
    assert len(loaded.split.test) == 6
    assert len(loaded.split.train) + len(loaded.split.val) == NUM


def test_grey_and_odd_modes_are_stored_without_what_is_not_pixels(tmp_path: Path) -> None:
    turned = Image.new("CMYK", (8, 8))
    palette = Image.new("P", (8, 8), 3)
    grey = Image.fromarray(np.full((8, 8), 9, np.uint8))
    grey.info["exif"] = b"Exif\0\0"
    kept = keep_images([(turned, 0), (palette, 0), (grey, 0)], tmp_path)
    stored = [Image.open(path) for path in sorted(kept.rglob("*.png"))]
    assert [image.mode for image in stored] == ["RGB", "RGB", "L"]
    assert not any(image.getexif() for image in stored)
    for image in stored:
        image.close()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "`dataset` must be a pair of a uint8 array"),
        (iter([]), "`dataset` must be a pair of a uint8 array"),
        ([], "must hold images, but is empty"),
        ((pixels().astype(np.float32), LABELS), "uint8 array of shape (N, H, W, 3), or (N, H, W)"),
        ((pixels().transpose(0, 3, 1, 2), LABELS), "but got uint8 of shape (12, 3, 10, 8)"),
        ((pixels(), LABELS[:5]), "Labels must be of shape (12,), one for each image, but got (5,)"),
        ((pixels(), LABELS - 1), "Labels must be integers from 0 or names, but that of item 0 is"),
        ((pixels(), LABELS + 0.5), "Labels must be integers from 0 or names, but that of item 0"),
        ([(torch.zeros(3, 8, 8), 0)], "must be PIL images, but that of item 0 is of type Tensor"),
        ([5], "must be pairs of a PIL image and an integer, but item 0 is of type int"),
        ({"trial": (pixels(), LABELS)}, "parts of `dataset` must be train, val and test, but got"),
        ((pixels(), ["a/b"] * NUM), "must be one that a folder can have, but got 'a/b'"),
        ((pixels(), [".."] * NUM), "must be one that a folder can have, but got '..'"),
        (
            {"train": Items(["a", "b", "c"]), "test": Items(["b", "a", "c"])},
            "must have the same classes in the same order",
        ),
    ],
)
def test_anything_else_is_one_line_and_leaves_nothing(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as raised:
        keep_images(data, tmp_path)
    assert len(str(raised.value).splitlines()) == 1
    assert [p for p in tmp_path.rglob("*") if p.name != FOLDER] == []


def test_columns_that_may_be_either_are_asked_for(tmp_path: Path) -> None:
    class Two(Columns):
        column_names = ("image", "mask", "label")

        def __getitem__(self, index: int) -> dict[str, Any]:
            row = super().__getitem__(index)
            self.features["mask"] = SimpleNamespace()
            return {"image": row["image"], "mask": row["image"], "label": 0}

    with pytest.raises(InputError, match=r"columns are image, mask, label; select two of them"):
        keep_images(Two(), tmp_path)


def test_a_lost_copy_says_what_brings_it_back(tmp_path: Path) -> None:
    gone = tmp_path / FOLDER / "images-0123456789abcdef"
    with pytest.raises(InputError, match=r"give the same images again, as in search\.resume"):
        load_dataset(gone, image_size=8, data_dir=tmp_path, num_train=None, seed=0)
