"""What other trainers read otherwise, held against what their own readers really do."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets
from torchvision.datasets import ImageFolder

from search.recipes.data_remarks import class_order, timm_remarks, torchvision_remarks
from trainable.data.file_facts import FileFacts
from trainable.data.folders.image_folder import list_image_folder
from trainable.data.manifests.manifest import list_manifest


def put(root: Path, folder: str, *, count: int = 3, suffix: str = ".png") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (4, 4)).save(root / folder / f"{i}{suffix}")


def remarks_on(root: Path) -> list[str]:
    listed = list_image_folder(root)
    return timm_remarks(listed.files, listed.class_names)


def timm_reads(root: Path) -> tuple[int, dict[str, int]]:
    found, numbers = find_images_and_targets(str(root))
    return len(found), numbers


def test_a_folder_that_both_read_alike_needs_no_remark(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        put(tmp_path, name)
        put(tmp_path, name, suffix=".JPG")
        put(tmp_path, name, suffix=".jpeg")
    assert remarks_on(tmp_path) == []
    assert torchvision_remarks(list_image_folder(tmp_path).files) == []
    assert timm_reads(tmp_path) == (18, {"ant": 0, "bee": 1})


def test_labels_of_a_table_are_read_by_neither(tmp_path: Path) -> None:
    put(tmp_path, "pictures", count=6)
    rows = [f"pictures/{i}.png,{'ab'[i % 2]}" for i in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]))
    listed = list_manifest(tmp_path / "labels.csv", data_dir=tmp_path, columns={})
    for remarks in (
        timm_remarks(listed.files, listed.class_names),
        torchvision_remarks(listed.files),
    ):
        assert any("reads no table of labels" in remark for remark in remarks)
    # They would take the folder for the only class.
    assert timm_reads(tmp_path) == (6, {"pictures": 0})
    assert ImageFolder(str(tmp_path)).classes == ["pictures"]


@pytest.mark.parametrize("suffix", [".webp", ".tif", ".bmp", ".gif", ".jfif"])
def test_files_that_timm_does_not_find_are_said(tmp_path: Path, suffix: str) -> None:
    pixels = Image.new("RGB", (4, 4))
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels.save(tmp_path / name / f"{i}{suffix}", "JPEG" if suffix == ".jfif" else None)
    (remark,) = remarks_on(tmp_path)
    assert f"8 {suffix} of this dataset would be left out, and no images found" in remark
    assert timm_reads(tmp_path) == (0, {})
    put(tmp_path, "ant", count=5)
    (remark,) = remarks_on(tmp_path)
    assert "left out, and 5 images found" in remark
    assert timm_reads(tmp_path)[0] == 5


def test_torchvision_finds_more_and_its_remark_says_so(tmp_path: Path) -> None:
    for suffix in (".webp", ".bmp", ".gif"):
        for name in ("ant", "bee"):
            put(tmp_path, name, suffix=suffix)
    (remark,) = torchvision_remarks(list_image_folder(tmp_path).files)
    assert "6 .gif of this dataset would be left out, and 12 images found" in remark
    assert len(ImageFolder(str(tmp_path))) == 12


@pytest.mark.parametrize(
    ("names", "number", "ours", "theirs"),
    [(("1", "2", "10"), 1, "10", "2"), (("Zebra", "ant"), 0, "Zebra", "ant")],
)
def test_another_order_of_classes_is_said(
    tmp_path: Path, names: tuple[str, ...], number: int, ours: str, theirs: str
) -> None:
    for name in names:
        put(tmp_path, name)
    (remark,) = remarks_on(tmp_path)
    assert f"class {number} is {ours!r} here and {theirs!r} there" in remark
    assert timm_reads(tmp_path)[1][theirs] == number
    assert list_image_folder(tmp_path).class_names[number] == ours
    assert f"class {number} is {ours!r} here and {theirs!r} there" in class_order(sorted(names))


def test_folders_inside_a_class_become_classes_of_timm(tmp_path: Path) -> None:
    put(tmp_path, "ant/left")
    put(tmp_path, "ant/right")
    put(tmp_path, "bee")
    (remark,) = remarks_on(tmp_path)
    assert "6 images lie below the folder of their class" in remark
    assert set(timm_reads(tmp_path)[1]) == {"left", "right", "bee"}


def test_classes_that_were_not_read_from_folders_have_no_order_to_differ() -> None:
    assert timm_remarks(FileFacts(), ("1", "10", "2")) == []
    assert timm_remarks(FileFacts(endings={".jpg": 9}), ("zero", "one")) == []


def test_pixels_that_others_see_differently_are_said_of_both() -> None:
    facts = FileFacts(endings={".png": 9}, num_deep=4, num_turned=2)
    for remarks in (timm_remarks(facts, "ab"), torchvision_remarks(facts)):
        assert len(remarks) == 2
        assert "more than 8 bits (4 images)" in remarks[0]
        assert "2 photographs that are turned upright here" in remarks[1]


def test_what_is_said_of_deep_greyscale_is_what_pillow_does() -> None:
    deep = Image.fromarray(np.array([[0, 255, 256, 1400]], np.uint16))
    assert np.asarray(deep.convert("RGB"))[0, :, 0].tolist() == [0, 255, 255, 255]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("ant", "bee"), "both make the same order"),
        (("1", "10", "2"), "class 1 is '10' here and '2' there"),
        (("top", "trouser", "bag"), "order of the dataset itself"),
    ],
)
def test_the_order_of_classes_is_told_in_a_sentence(names: tuple[str, ...], says: str) -> None:
    sentence = class_order(names)
    assert says in sentence
    assert sentence.endswith(".")
