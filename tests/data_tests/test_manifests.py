"""Tables of images: which columns are read, and what is refused with one clear line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spaces.errors import InputError
from tests.support.fuzzing import is_one_line
from trainable.data.collecting import collect, default_recipe
from trainable.data.datasets import load_dataset
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection
from trainable.data.manifests.columns import ROLES, parse_columns
from trainable.data.manifests.manifest import list_manifest

Columns = Mapping[str, Sequence[object]]
NAMES = [f"{i}.png" for i in range(6)]
PLAIN: Columns = {"image": NAMES, "label": ["cat", "dog"] * 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with six different small images."""
    for i, name in enumerate(NAMES):
        pixels = np.random.default_rng(i).integers(255, size=(9, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def write(path: Path, columns: Columns) -> Path:
    """Write a table in the form that its ending says."""
    frame = pd.DataFrame({name: list(cells) for name, cells in columns.items()})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def listed(path: Path, columns: str | None = None, data_dir: Path | None = None) -> Collection:
    return list_manifest(
        path, data_dir=data_dir or path.parent / "data", columns=parse_columns(columns)
    )


def refused(path: Path, columns: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        listed(path, columns)
    assert is_one_line(str(caught.value))
    return str(caught.value)


def names(collection: Collection) -> list[str]:
    return [collection.source.name(i) for i in range(len(collection.source))]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl", ".CSV"])
def test_all_forms_of_a_table_say_the_same(ending: str, root: Path) -> None:
    given = {
        **PLAIN,
        "split": ["train"] * 3 + ["val", "val", "test"],
        "patient": [7, 7, 8, 8, 9, 9],
    }
    found = listed(write(root / f"labels{ending}", given))
    assert names(found) == NAMES
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [0, 1] * 3
    assert found.parts is not None
    assert found.parts.tolist() == [TRAIN] * 3 + [VAL, VAL, TEST]
    assert found.groups == ["7", "7", "8", "8", "9", "9"]
    assert (
        "image is 'image', label is 'label', split is 'split', group is 'patient'"
        in (found.notes[0])
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_column_is_known_by_any_of_its_names_however_they_are_written(
    role: str, root: Path
) -> None:
    for name in ROLES[role]:
        for written in (name, name.upper(), f"{name[:3]}_{name[3:]}", f" {name} "):
            cells = {"image": NAMES, "label": ["a", "b"] * 3, "split": ["train", "test"] * 3}
            cells["group"] = [f"g{i}" for i in range(6)]
            cells[written] = cells.pop(role)
            if role == "split":
                cells[written] = ["train"] * 4 + ["test"] * 2
            else:
                del cells["split"]
            found = listed(write(root / "t.csv", cells))
            assert names(found) == NAMES
            assert found.labels.tolist() == [0, 1] * 3
            assert found.groups == [f"g{i}" for i in range(6)]
            assert (found.parts is None) == (role != "split")


def test_columns_may_be_given_and_then_no_others_are_guessed_for_them(root: Path) -> None:
    cells = {"path": ["wrong"] * 6, "photo": NAMES, "class": ["x"] * 6, "species": ["a", "b"] * 3}
    found = listed(write(root / "t.csv", cells), "image=photo,label=species")
    assert (names(found), found.class_names) == (NAMES, ("a", "b"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "2"] * 2, ("2", "9", "10")),  # Numbers, by their size.
        (["b", "B", "a"] * 2, ("B", "a", "b")),
        (["10", "9", "x"] * 2, ("10", "9", "x")),  # One is no number: all are text.
        (["NA", "None", "nan"] * 2, ("NA", "None", "nan")),  # Namibia, and two odd names.
        (["01", "1", "2"] * 2, ("01", "1", "2")),
    ],
)
def test_classes_are_sorted_and_stay_as_they_are_written(
    labels: list[str], expected: tuple[str, ...], root: Path
) -> None:
    more = [f"{i}{name}" for i in "ab" for name in NAMES]
    for name in more:
        Image.new("RGB", (3, 3)).save(root / name)
    table = write(root / "t.csv", {"image": [*NAMES, *more], "label": labels * 3})
    found = listed(table)
    assert found.class_names == expected
    assert [found.class_names[i] for i in found.labels] == labels * 3


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_labels_may_be_numbers_of_any_type(ending: str, root: Path) -> None:
    table = write(root / f"t{ending}", {"image": NAMES, "label": [10.0, 9.0] * 3})
    assert listed(table).class_names == ("9", "10")
    table = write(root / f"t{ending}", {"image": NAMES, "label": [True, False] * 3})
    assert listed(table).class_names == ("False", "True")


def test_paths_are_relative_to_the_table_or_else_to_the_data_directory(root: Path) -> None:
    (root / "tables").mkdir()
    table = write(root / "tables" / "t.csv", PLAIN)
    assert "nor" in refused(table)
    assert names(listed(table, data_dir=root)) == NAMES
    up = write(root / "tables" / "t.csv", {**PLAIN, "image": [f"../{name}" for name in NAMES]})
    assert len(listed(up).source) == 6
    whole = write(root / "tables" / "t.csv", {**PLAIN, "image": [str(root / n) for n in NAMES]})
    assert len(listed(whole).source) == 6


def test_backslashes_in_paths_are_those_of_another_system(root: Path) -> None:
    (root / "a").mkdir()
    for name in NAMES:
        (root / name).rename(root / "a" / name)
    table = write(root / "t.csv", {**PLAIN, "image": [f"a\\{name}" for name in NAMES]})
    assert names(listed(table)) == [f"a/{name}" for name in NAMES]


def test_a_spreadsheet_of_semicolons_with_a_mark_of_bytes_and_blank_rows_is_read(
    root: Path,
) -> None:
    rows = ["file;label", *(f'"{n}"; {c}' for n, c in zip(NAMES, "xyxyxy", strict=True)), "", ";"]
    (root / "t.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    found = listed(root / "t.csv")
    assert (names(found), found.class_names) == (NAMES, ("x", "y"))


@pytest.mark.parametrize(
    ("splits", "parts"),
    [
        (["Training"] * 3 + ["valid"] * 2 + ["TEST"], [TRAIN] * 3 + [VAL] * 2 + [TEST]),
        (["train"] * 4 + ["val"] * 2, [TRAIN] * 4 + [TEST] * 2),  # As with folders.
        (["train"] * 6, None),
    ],
)
def test_a_given_split_is_that_of_folders(
    splits: list[str], parts: list[int] | None, root: Path
) -> None:
    found = listed(write(root / "t.csv", {**PLAIN, "split": splits}))
    assert (None if found.parts is None else found.parts.tolist()) == parts


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"image": [*NAMES[:5], ""]}, ("row 7, column 'image' must not be empty",)),
        ({"image": [*NAMES[:5], "x.png"]}, ("row 7, column 'image'", "'x.png' is not in")),
        ({"image": [*NAMES[:5], "0.png"]}, ("row 7", "'0.png' is in row 2 too.")),
        ({"image": [*NAMES[:5], "./0.png"]}, ("'0.png' is in row 2 too",)),
        ({"image": [*NAMES[:5], "a\x00"]}, ("row 7, column 'image'", "not in")),
        ({"label": ["a", "b"] * 2 + ["a", ""]}, ("row 7, column 'label' must not be empty",)),
        ({"label": ["a"] * 6}, ("two classes at least", "'label'", "'a' only")),
        ({"label": ["a"] * 4 + ["b"] * 2}, ("at least 3 images, but 'b'",)),
        ({"label": ["a", "b\x1b"] * 3}, ("without control characters",)),
        ({"split": ["train"] * 5 + ["fold 1"]}, ("row 7, column 'split'", "'fold 1'")),
        ({"split": ["train"] * 5 + [""]}, ("row 7, column 'split'", "train, val or test")),
        ({"split": ["val"] * 5 + ["test"]}, ("images to train on",)),
        ({"split": ["train", "test"] * 3}, ("images in `train`, but 'dog' has none",)),
        ({"group": ["a"] * 5 + [""]}, ("row 7, column 'group' must not be empty",)),
        ({"path": NAMES}, ()),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(
    cells: Columns, says: tuple[str, ...], root: Path
) -> None:
    table = write(root / "t.csv", {**PLAIN, **cells})
    if not says:  # Of two columns, one has the very name.
        assert names(listed(table)) == NAMES
        return
    message = refused(table)
    for part in says:
        assert part in message


def test_one_path_in_two_parts_is_told_so(root: Path) -> None:
    splits = ["train"] * 4 + ["test", "test"]
    table = write(root / "t.csv", {**PLAIN, "image": [*NAMES[:5], "0.png"], "split": splits})
    assert "'0.png' is in row 2 too, in another part" in refused(table)


def test_rows_of_lines_of_json_and_parquet_are_counted_from_one(root: Path) -> None:
    for ending in (".jsonl", ".parquet"):
        table = write(root / f"t{ending}", {**PLAIN, "label": ["a", "b"] * 2 + ["a", None]})
        assert "row 6, column 'label' must not be empty" in refused(table)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("image=photo", "names 'photo' for the image, but"),
        ("image=imag", "Did you mean 'image'?"),
        ("species=label", "must be written as image=file"),
        ("image", "must be written as image=file"),
        ("image=", "must be written as image=file"),
        ("", "must be written as image=file"),
        ("image=image,image=image", "names two"),
    ],
)
def test_wrong_names_of_columns_are_refused(columns: str, says: str, root: Path) -> None:
    assert says in refused(write(root / "t.csv", PLAIN), columns)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "must name the columns"),
        (b"\n\nimage,label\n", "must name the columns"),
        (b"image,label\n", "must have rows"),
        (b"image,label\n\n,\n", "must have rows"),
        (b"image,label\n0.png,a,b\n", "the same columns in every row: Error tokenizing"),
        (b'image,label\n"0.png,a\n', "the same columns in every row"),
        (b"image,label\n0.png,\xe9\n", "must be text in UTF-8"),
        (b"image,label,label\n0.png,a,b\n", "two are called 'label'"),
        (b"image,,label\n0.png,a,b\n", "column 2 has none"),
        (b"a,b\n0.png,x\n", "must have a column of the image (such as image, path"),
        (b"image,y\n0.png,x\n", "must have a column of the label"),
        (b"path,file,label\n0.png,0.png,x\n", "'path' and 'file'"),
    ],
)
def test_a_broken_table_is_refused(text: bytes, says: str, root: Path) -> None:
    (root / "t.csv").write_bytes(text)
    assert says in refused(root / "t.csv")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "row 2 must be JSON"),
        ("[1]", "row 2 must be a JSON object"),
        ('{"image": "1.png", "label": ["a", "b"]}', "row 2, column 'label' must hold one text"),
        ('{"image": "1.png", "label": 0.5}', "row 2, column 'label' must hold one text"),
        ('{"image": "1.png"}', "row 2, column 'label' must not be empty"),
    ],
)
def test_a_broken_line_of_json_is_named(line: str, says: str, root: Path) -> None:
    first = json.dumps({"image": "0.png", "label": "a", "boxes": [[1, 2]]})
    (root / "t.jsonl").write_text(f"{first}\n{line}\n")
    assert says in refused(root / "t.jsonl")


def test_pictures_inside_of_parquet_and_lists_of_labels_are_told_apart_from_paths(
    root: Path,
) -> None:
    inside = [{"bytes": b"x", "path": name} for name in NAMES]
    assert "hf:FOLDER" in refused(write(root / "t.parquet", {**PLAIN, "image": inside}))
    lists = [["a", "b"]] * 6
    assert "one text or number" in refused(write(root / "t.parquet", {**PLAIN, "label": lists}))
    # Where they are not asked for they do no harm.
    assert len(listed(write(root / "t.parquet", {**PLAIN, "boxes": lists})).source) == 6


def test_what_is_no_parquet_is_refused(root: Path) -> None:
    (root / "t.parquet").write_bytes(b"PAR1 is not enough PAR1")
    assert "t.parquet" in refused(root / "t.parquet")
    assert "does not or is no file" in refused(root / "none.parquet")


def test_columns_are_for_tables_only(root: Path) -> None:
    for dataset in ("digits", str(root)):
        with pytest.raises(InputError, match="`columns` must be left out"):
            collect(dataset, data_dir=root, columns="image=x", group_by=None)


def test_a_table_is_decoded_as_its_images_in_folders_are(root: Path) -> None:
    """The same bytes, sizes and defaults, whichever way the labels are told."""
    for label in ("cat", "dog"):
        (root / "folder" / label).mkdir(parents=True)
    for name, label in zip(NAMES, ["cat", "dog"] * 3, strict=True):
        (root / "folder" / label / name).write_bytes((root / name).read_bytes())
    by_folder = sorted(range(6), key=lambda i: (i % 2, i))
    table = write(
        root / "t.csv",
        {
            "image": [NAMES[i] for i in by_folder],
            "label": [["cat", "dog"][i % 2] for i in by_folder],
        },
    )
    one, other = (
        load_dataset(place, image_size=8, data_dir=root / "data", num_train=None, seed=0)
        for place in (table, root / "folder")
    )
    np.testing.assert_array_equal(np.asarray(one.images), np.asarray(other.images))
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.split.test, other.split.test)
    assert one.name == "t.csv"
    assert one.files.is_listed
    assert default_recipe(table) == default_recipe(root / "folder")


def test_a_digest_knows_split_and_groups_of_a_table(root: Path) -> None:
    """Else an edited table would go on with a run on another split."""
    splits = ["train", "train", "train", "train", "test", "test"]
    given = {**PLAIN, "split": splits, "group": list("abcdef")}
    edited = [given, {**given, "split": splits[::-1]}, {**given, "group": list("aacdef")}]
    digests = {
        load_dataset(
            write(root / "t.csv", cells),
            image_size=8,
            data_dir=root / "data",
            num_train=None,
            seed=0,
        ).digest
        for cells in edited
    }
    assert len(digests) == 3
