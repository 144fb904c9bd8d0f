"""What is taken for a folder of images, and what is refused with one clear line."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from spaces.errors import InputError
from trainable.data.folders.image_folder import list_image_folder
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection


def put(root: Path, *folders: str, count: int = 3, suffix: str = ".png") -> None:
    """Small images called ``0.png``, ``1.png``, ... in each folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (6, 5), (i, 0, 0)).save(root / folder / f"{i}{suffix}")


def names(collection: Collection) -> list[str]:
    return [collection.source.name(i) for i in range(len(collection.source))]


def test_classes_are_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    put(tmp_path, "zebra", "ant")
    put(tmp_path, "bee", count=4)
    found = list_image_folder(tmp_path)
    assert found.class_names == ("ant", "bee", "zebra")
    assert found.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 3
    assert names(found)[:4] == ["ant/0.png", "ant/1.png", "ant/2.png", "bee/0.png"]
    assert found.parts is None
    assert found.notes == ()


def test_images_further_below_belong_to_the_class_above(tmp_path: Path) -> None:
    put(tmp_path, "a/deep/er", "b")
    assert names(list_image_folder(tmp_path))[0] == "a/deep/er/0.png"


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".Png", ".webp", ".tiff", ".bmp", ".gif"])
def test_endings_of_images_are_known_in_any_case(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, "a", "b", suffix=suffix)
    assert len(list_image_folder(tmp_path).source) == 6


def test_hidden_files_are_passed_over_silently_and_other_kinds_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    (tmp_path / ".git").mkdir()
    for name in ("a/._0.png", "a/.DS_Store", "a/readme.txt", "b/Thumbs.db", "b/LICENSE"):
        (tmp_path / name).touch()
    found = list_image_folder(tmp_path)
    assert len(found.source) == 6
    assert found.notes == ("3 files of other kinds were passed over (.db, .txt, none).",)


def test_images_beside_the_class_folders_are_left_out_and_said(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    put(tmp_path, ".", count=2)
    found = list_image_folder(tmp_path)
    assert len(found.source) == 6
    assert found.notes == ("2 images beside the class folders were left out; the first: 0.png.",)


def test_a_link_that_leads_in_a_circle_is_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert len(list_image_folder(tmp_path).source) == 6


def test_linked_class_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "x")
    put(tmp_path / "root", "a")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere" / "x")
    assert names(list_image_folder(tmp_path / "root"))[3:] == ["b/0.png", "b/1.png", "b/2.png"]


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "train/b", count=4)
    put(tmp_path, "val/a", "val/b", count=2)
    put(tmp_path, "test/b", count=1)
    found = list_image_folder(tmp_path)
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 8 + [VAL] * 4 + [TEST]
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [0, 0, 1, 1] + [1]
    assert names(found)[-1] == "test/b/0.png"


def test_without_a_test_folder_val_is_tested_on(tmp_path: Path) -> None:
    """ImageNet's layout."""
    put(tmp_path, "train/a", "train/b", count=4)
    put(tmp_path, "val/a", "val/b", count=2)
    found = list_image_folder(tmp_path)
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 8 + [TEST] * 4
    assert "`val` is tested on" in found.notes[0]


def test_a_lone_train_folder_is_a_folder_of_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "train/b")
    found = list_image_folder(tmp_path)
    assert found.parts is None
    assert found.class_names == ("a", "b")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    put(tmp_path, "car", "train")
    found = list_image_folder(tmp_path)
    assert found.class_names == ("car", "train")
    assert found.parts is None


# Splits under other names, as they lie on the web.

CLASSES = ("glioma", "meningioma", "notumor")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("seg_train/seg_train", "seg_test"),
        ("brain_train", "brain_test"),
        ("trainset", "testset"),
        ("train", "test1"),
    ],
)
def test_a_split_under_other_names_is_read_and_said(tmp_path: Path, train: str, test: str) -> None:
    put(tmp_path, *(f"{train}/{name}" for name in CLASSES), count=4)
    put(tmp_path, *(f"{test}/{name}" for name in CLASSES), count=2)
    found = list_image_folder(tmp_path)
    assert found.class_names == CLASSES
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 12 + [TEST] * 6
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0, 0, 1, 1, 2, 2]
    one, other = train.partition("/")[0], test.partition("/")[0]
    assert found.notes == (f"The split is given by folders: {one} is train, {other} is test.",)


def test_three_parts_under_other_names_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, *(f"Train/{name}" for name in CLASSES), count=4)
    put(tmp_path, "Valid/glioma", "Test/notumor")
    found = list_image_folder(tmp_path)
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 12 + [VAL] * 3 + [TEST] * 3
    assert found.labels[-6:].tolist() == [0] * 3 + [2] * 3


def test_images_without_labels_beside_a_split_are_left_out_and_said(tmp_path: Path) -> None:
    put(tmp_path, "seg_train/a", "seg_train/b", "seg_test/a", "seg_test/b", "seg_pred/seg_pred")
    found = list_image_folder(tmp_path)
    assert len(found.source) == 12
    assert found.notes[-1] == "Left out, for it holds no classes: seg_pred."


def test_a_split_inside_the_classes_is_kept(tmp_path: Path) -> None:
    put(tmp_path, "cat/train", "dog/train", count=4)
    put(tmp_path, "cat/Test", "dog/Test/deeper", count=2)
    found = list_image_folder(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.parts is not None
    assert sorted(zip(names(found), found.parts.tolist(), strict=True)) == [
        *((f"cat/Test/{i}.png", TEST) for i in range(2)),
        *((f"cat/train/{i}.png", TRAIN) for i in range(4)),
        *((f"dog/Test/deeper/{i}.png", TEST) for i in range(2)),
        *((f"dog/train/{i}.png", TRAIN) for i in range(4)),
    ]
    assert found.notes == (
        "The split is given by folders inside each class: train is train, Test is test.",
    )


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        (["train", "test1"], "'test1', 'train'"),  # Loose images of both, as in cats and dogs.
        (["train/a", "train/b", "test/a", "test/b", "extra/a"], "'extra', 'test', 'train'"),
        (["train1/a", "train1/b", "train2/a", "train2/b"], "'train1', 'train2'"),
        (["a_train/x", "a_test/x", "b_train/x", "b_test/x"], "'a_test', 'a_train', 'b_test'"),
        (["seg_train/a", "seg_train/b", "seg_test/a", "seg_pred/a", "seg_pred/b"], "'seg_pred'"),
        (["car", "bus", "test/car", "test/bus"], "'bus', 'car', 'test'"),
        (["cat/train", "cat/test", "cat/more", "dog/train"], "'more', 'test', 'train'"),
        (["cat", "cat/train", "cat/test", "dog/train", "dog/test"], "'test', 'train'"),
    ],
)
def test_folders_that_may_be_a_split_are_refused_by_name(
    tmp_path: Path, folders: list[str], named: str
) -> None:
    put(tmp_path, *folders)
    with pytest.raises(InputError, match="may be the parts of a split and may be classes") as said:
        list_image_folder(tmp_path)
    assert named in str(said.value)


@pytest.mark.parametrize(
    "folders",
    [
        ["control", "test"],
        ["control/patient", "test/other"],
        ["bullet train", "test tube", "car"],
        ["a/left", "a/right", "b/left"],
        ["a/test", "b/test"],
    ],
)
def test_classes_of_suspicious_names_are_classes(tmp_path: Path, folders: list[str]) -> None:
    put(tmp_path, *folders)
    found = list_image_folder(tmp_path)
    assert found.parts is None
    assert found.class_names == tuple(sorted({folder.partition("/")[0] for folder in folders}))
    assert found.notes == ()


def test_classes_that_hold_folders_of_the_same_names_are_said(tmp_path: Path) -> None:
    """As a user sees it who gives the folder above, or calls train and test in his own tongue."""
    put(tmp_path, *(f"{part}/{name}" for part in ("Treino", "Teste") for name in CLASSES))
    found = list_image_folder(tmp_path)
    assert found.class_names == ("Teste", "Treino")
    assert found.notes[0].startswith(
        "Every class holds folders of the same names (glioma, meningioma, notumor). If those are"
    )


def test_endings_and_images_in_folders_of_their_own_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a", "b/deep", suffix=".webp")
    put(tmp_path, "a", suffix=".JPG", count=4)
    facts = list_image_folder(tmp_path).files
    assert (facts.endings, facts.num_nested) == ({".webp": 6, ".jpg": 4}, 3)
    assert list(facts.endings) == [".webp", ".jpg"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must exist, but .*nowhere does not"):
        list_image_folder(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder"):
        list_image_folder(tmp_path / "file")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least two, but .* holds 0"):
        list_image_folder(tmp_path)


def test_images_without_classes_are_refused(tmp_path: Path) -> None:
    put(tmp_path, ".")
    with pytest.raises(InputError, match=r"one folder per class.*holds only images"):
        list_image_folder(tmp_path)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a")
    with pytest.raises(InputError, match=r"at least two, but .* holds 1"):
        list_image_folder(tmp_path)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_of_fewer_than_three_images_is_refused_by_name(tmp_path: Path, count: int) -> None:
    put(tmp_path, "a", "c")
    put(tmp_path, "lonely", count=count)
    with pytest.raises(InputError, match=rf"at least 3 images, but 'lonely' of .* has {count}"):
        list_image_folder(tmp_path)


def test_folders_beside_a_given_split_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "train/b", "more/a")
    with pytest.raises(InputError, match=r"only `val` and `test` may lie in .* got 'more'"):
        list_image_folder(tmp_path)


@pytest.mark.parametrize("folders", [["val/a", "val/b"], ["val/a", "test/a"]])
def test_a_split_without_train_is_refused(tmp_path: Path, folders: list[str]) -> None:
    put(tmp_path, *folders)
    with pytest.raises(InputError, match="must have folders of classes in `train`"):
        list_image_folder(tmp_path)


def test_a_class_that_is_only_tested_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "train/b", "test/a", "test/c")
    with pytest.raises(InputError, match="'c' is only in `test`"):
        list_image_folder(tmp_path)


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "test/a", "test/b", count=5)
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(InputError, match="images in `train`, but 'b' has none"):
        list_image_folder(tmp_path)


def test_test_images_without_classes_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a", "train/b", "test")
    with pytest.raises(InputError, match="`test` must hold one folder per class"):
        list_image_folder(tmp_path)


def test_the_fingerprint_sees_size_time_and_name_but_not_where_the_folder_lies(
    tmp_path: Path,
) -> None:
    put(tmp_path / "here", "a", "b")
    before = list_image_folder(tmp_path / "here").source.fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    root = tmp_path / "there"
    assert list_image_folder(root).source.fingerprint() == before
    seen = {before}
    os.utime(root / "a/0.png", ns=(1, 1))
    seen.add(list_image_folder(root).source.fingerprint())
    with (root / "b/1.png").open("ab") as file:
        file.write(b"\0")
    seen.add(list_image_folder(root).source.fingerprint())
    (root / "b/2.png").rename(root / "b/3.png")
    seen.add(list_image_folder(root).source.fingerprint())
    assert len(seen) == 4


def test_the_fingerprint_sees_new_content_under_the_old_size_and_time(tmp_path: Path) -> None:
    """As an archive of uncompressed images leaves it that is unpacked over its older version."""
    put(tmp_path, "a", "b")
    path = tmp_path / "a/0.png"
    content, stat = path.read_bytes(), path.stat()
    before = list_image_folder(tmp_path).source.fingerprint()
    time.sleep(0.02)  # The clock of a file system moves in steps.
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert list_image_folder(tmp_path).source.fingerprint() != before


def test_the_paths_still_hold_in_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data", "a", "b")
    monkeypatch.chdir(tmp_path)
    found = list_image_folder(Path("data"))
    monkeypatch.chdir("/")
    assert found.source.size(0) == (6, 5)
