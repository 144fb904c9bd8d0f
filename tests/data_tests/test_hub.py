"""Datasets of Hugging Face, as its own library writes them into a folder."""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.plan.dataset_place import absolute_dataset, is_gone
from spaces.errors import InputError
from tests.support.fuzzing import is_one_line
from trainable.data.collecting import collect, default_recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.hub import opening
from trainable.data.image_sources import TEST, TRAIN, Collection

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache in the user's home stays as it is."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


def pixels_of(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(255, size=(9, 9, 3)).astype(np.uint8)


def rows(count: int, *, first: int = 0, label: Any = None, **more: Any) -> Any:
    """A dataset of so many pictures of two classes, in the order of the class names."""
    kind = label or datasets.ClassLabel(names=["zebra", "ant"])
    numbers = range(first, first + count)
    cells = {
        "picture": [Image.fromarray(pixels_of(i)) for i in numbers],
        "kind": [i % 2 if isinstance(kind, datasets.ClassLabel) else "ab"[i % 2] for i in numbers],
        **more,
    }
    features = {"picture": datasets.Image(), "kind": kind}
    features |= {name: datasets.Value("string") for name in more}
    return datasets.Dataset.from_dict(cells, features=datasets.Features(features))


def three_parts() -> Any:
    return datasets.DatasetDict(
        train=rows(12), validation=rows(4, first=100), test=rows(6, first=200)
    )


def write_parquet(parts: Any, folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    for name, part in parts.items():
        part.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def write_saved(parts: Any, folder: Path) -> Path:
    parts.save_to_disk(folder)
    return folder


def listed(folder: Path, columns: str | None = None) -> Collection:
    return collect(f"hf:{folder}", data_dir=folder.parent / "data", columns=columns, group_by=None)


def loaded(folder: Path, **more: Any) -> Dataset:
    return load_dataset(
        f"hf:{folder}",
        image_size=9,
        data_dir=folder.parent / "data",
        num_train=None,
        seed=0,
        **more,
    )


def refused(folder: Path, columns: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        listed(folder, columns)
    assert is_one_line(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("write", [write_saved, write_parquet])
def test_a_folder_of_the_library_gives_its_pictures_labels_and_parts(
    write: Any, tmp_path: Path
) -> None:
    found = loaded(write(three_parts(), tmp_path / "pets"))
    assert found.name == "pets"
    assert found.class_names == ("zebra", "ant")  # In the order of the feature, not sorted.
    assert [len(found.split.train), len(found.split.val), len(found.split.test)] == [12, 4, 6]
    numbers = [*range(12), *range(100, 104), *range(200, 206)]
    assert found.labels.tolist() == [i % 2 for i in numbers]
    for image, number in zip(np.asarray(found.images), numbers, strict=True):
        np.testing.assert_array_equal(image, pixels_of(number))


def test_a_single_dataset_is_split_by_us_and_a_subset_is_cached(tmp_path: Path) -> None:
    folder = write_saved(rows(30), tmp_path / "one")
    found = loaded(folder)
    assert [len(found.split.train), len(found.split.val), len(found.split.test)] == [18, 6, 6]
    assert loaded(folder).digest == found.digest
    assert len(list((tmp_path / "data" / "cache").glob("*.json"))) == 1
    assert default_recipe(f"hf:{folder}").image_size == 32


def test_the_splits_are_named_as_folders_of_parts_are(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=rows(12), valid=rows(4, first=50), extra=rows(4, first=60))
    found = listed(write_saved(parts, tmp_path / "x"))
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 12 + [TEST] * 4
    assert any("no parts: 'extra'" in note for note in found.notes)
    assert any("`val` is tested on" in note for note in found.notes)
    both = datasets.DatasetDict(train=rows(12), valid=rows(4), dev=rows(4))
    assert "each once" in refused(write_saved(both, tmp_path / "y"))
    none = datasets.DatasetDict(test=rows(12), valid=rows(4))
    assert "each once" in refused(write_saved(none, tmp_path / "z"))


def test_hidden_labels_of_a_test_split_leave_it_out(tmp_path: Path) -> None:
    hidden = rows(6, first=200).map(lambda row: {"kind": -1})
    parts = three_parts()
    parts["test"] = hidden
    found = listed(write_saved(parts, tmp_path / "x"))
    assert any("its labels are hidden: test" in note for note in found.notes)
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 12 + [TEST] * 4
    train = datasets.DatasetDict(train=hidden, test=rows(12))
    assert "must have labels" in refused(write_saved(train, tmp_path / "y"))


def test_labels_may_be_text_and_groups_a_column(tmp_path: Path) -> None:
    groups = [f"p{i // 4}" for i in range(24)]
    label = datasets.Value("string")
    folder = write_saved(rows(24, label=label, patient=groups), tmp_path / "x")
    found = loaded(folder, columns="label=kind")
    assert found.class_names == ("a", "b")
    assert found.num_groups == (4, 1, 1)
    assert "must have one column of the label, but has no column" in refused(folder)
    with pytest.raises(InputError, match="no files with names"):
        loaded(folder, columns="label=kind", group_by="(x)")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("image=photo", "names 'photo' for the image"),
        ("image=kind", "must be of type Image"),
        ("label=picture", "must hold one text or number"),
        ("split=kind", "own splits are the parts"),
    ],
)
def test_wrong_columns_are_named(columns: str, says: str, tmp_path: Path) -> None:
    assert says in refused(write_saved(rows(12), tmp_path / "x"), columns)


def test_of_two_columns_of_classes_none_is_guessed(tmp_path: Path) -> None:
    two = (
        rows(12)
        .add_column("coarse", [0, 1] * 6)
        .cast_column("coarse", datasets.ClassLabel(names=["x", "y"]))
    )
    folder = write_saved(two, tmp_path / "x")
    assert "has columns 'kind', 'coarse'" in refused(folder)
    assert listed(folder, "label=coarse").class_names == ("x", "y")


def test_a_missing_label_is_named_by_split_and_row(tmp_path: Path) -> None:
    part = rows(12).map(lambda row, i: {"kind": None if i == 5 else i % 2}, with_indices=True)
    assert "train row 5, column 'kind'" in refused(write_saved(part, tmp_path / "x"))


def test_a_number_of_no_class_is_named(tmp_path: Path) -> None:
    """The library casts any whole number."""
    part = rows(12).cast_column("kind", datasets.Value("int64")).map(lambda row: {"kind": 2})
    part = part.cast_column("kind", datasets.ClassLabel(names=["zebra", "ant"]))
    said = refused(write_saved(part, tmp_path / "x"))
    assert "train row 0, column 'kind' must hold the number of a class, but holds '2'" in said


def test_classes_without_images_are_left_out_and_said(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["zebra", "ant", "bee"])
    found = listed(write_saved(rows(12, label=label), tmp_path / "x"))
    assert found.class_names == ("zebra", "ant")
    assert any("1 of 3 classes have no image" in note for note in found.notes)


def test_a_saved_folder_of_images_holds_paths_that_are_read(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(pixels_of(i)).save(tmp_path / "images" / name / f"{i}.png")
    made = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "images"), cache_dir=str(tmp_path / "hf")
    )
    folder = write_parquet(made, tmp_path / "saved")
    found = loaded(folder)
    assert found.class_names == ("ant", "bee")
    np.testing.assert_array_equal(np.asarray(found.images)[0], pixels_of(0))


def test_a_broken_picture_is_named_by_its_row(tmp_path: Path) -> None:
    cells = {
        "image": [{"bytes": b"no picture", "path": "odd.png"}] * 12,
        "label": [i % 2 for i in range(12)],
    }
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    made = datasets.Dataset.from_dict(cells, features=features)
    with pytest.raises(InputError, match=r"train row 0 \(odd.png\)"):
        loaded(write_saved(made, tmp_path / "x"))


def test_a_damaged_file_that_points_outside_of_itself_is_refused(tmp_path: Path) -> None:
    """Read as it is, it would end the process by a bus error."""
    made = rows(12)
    undecoded = made.cast_column("picture", datasets.Image(decode=False))
    lengths = [len(row["picture"]["bytes"]) for row in undecoded]
    offsets = np.cumsum([0, *lengths]).astype("<i4").tobytes()
    folder = write_saved(made, tmp_path / "x")
    file = folder / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    assert content.count(offsets) == 1
    file.unlink()  # The library may have it mapped.
    file.write_bytes(content.replace(offsets, offsets[:-4] + b"\x7f\x7f\x7f\x7f"))
    assert "larger than values array" in refused(folder)


def test_a_source_travels_to_other_processes(tmp_path: Path) -> None:
    source = listed(write_saved(three_parts(), tmp_path / "x")).source.pick(np.array([3, 13]))
    again = pickle.loads(pickle.dumps(source))
    assert len(again) == 2
    np.testing.assert_array_equal(np.asarray(again.read(1, 9)), pixels_of(101))
    assert again.fingerprint() == source.fingerprint()
    assert again.name(1).startswith("validation row 1")


def test_what_is_no_dataset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert "must hold Parquet files" in refused(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1")
    assert "cannot be opened as a dataset" in refused(tmp_path / "broken")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{")
    assert "cannot be opened as a dataset" in refused(tmp_path / "saved")
    assert "is neither" in refused(tmp_path / "nowhere")
    monkeypatch.setattr(opening, "is_reachable", lambda url: False)
    with pytest.raises(InputError, match="cannot be reached: save the dataset"):
        collect("hf:owner/name", data_dir=tmp_path, columns=None, group_by=None)


def test_without_the_library_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError):
        import datasets  # noqa: F401
    assert "pip install" in refused(tmp_path)


def test_the_place_of_a_folder_is_made_absolute_behind_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_dataset("hf:here") == f"hf:{tmp_path.resolve() / 'here'}"
    assert absolute_dataset("hf:owner/name") == "hf:owner/name"
    assert is_gone(f"hf:{tmp_path}/gone")
    assert not is_gone("hf:owner/name")
    assert not is_gone(f"hf:{tmp_path}/here")
