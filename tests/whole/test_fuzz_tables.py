"""Tables of images, broken in every way, are read or refused in one line."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from PIL import Image

from tests.support.fuzzing import BAD_JSON, ODD, as_json, examples, fuzz, mutated_bytes, outcome
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.groups import parse_pattern
from trainable.data.manifests.columns import parse_columns

NAMES = [f"{i}.png" for i in range(12)]
CELLS = {
    "image": NAMES,
    "label": ["a", "b"] * 6,
    "split": ["train"] * 8 + ["val"] * 2 + ["test"] * 2,
    "group": [str(i // 2) for i in range(12)],
}


def valid(ending: str) -> bytes:
    frame, stream = pd.DataFrame(CELLS), BytesIO()
    if ending == ".parquet":
        frame.to_parquet(stream)
    elif ending == ".jsonl":
        frame.to_json(stream, orient="records", lines=True)
    else:
        frame.to_csv(stream, index=False, sep="\t" if ending == ".tsv" else ",")
    return stream.getvalue()


def sound(found: object) -> None:
    """A dataset that can be split and told of."""
    assert isinstance(found, Dataset)
    assert len(found.labels) == sum(
        map(len, (found.split.train, found.split.val, found.split.test))
    )
    "".join([found.name, *found.class_names, *found.notes]).encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(NAMES):
        pixels = np.random.default_rng(i).integers(255, size=(4, 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def load(path: Path, columns: str | None = None, group_by: str | None = None) -> Dataset:
    return load_dataset(
        path,
        image_size=4,
        data_dir=path.parent / "data",
        num_train=None,
        seed=0,
        columns=columns,
        group_by=group_by,
    )


@examples(60, 10_000)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_broken_table_is_read_or_refused(ending: str, count: int, root: Path) -> None:
    path = root / f"t{ending}"
    path.write_bytes(valid(ending))
    sound(load(path))
    junk = [b"\n", b",", b",,\n" * 50, b'"', b'"\n' * 9, b"\0" * 99, b"PAR1" * 9, *BAD_JSON]

    @fuzz(count, mutated_bytes(valid(ending)) | st.sampled_from(junk) | st.binary(max_size=99))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        if (found := outcome(lambda: load(path))) is not None:
            sound(found)


@examples(100, 10_000)
def test_odd_cells_are_read_or_refused(count: int, root: Path) -> None:
    path = root / "t.jsonl"
    rows = [dict(zip(CELLS, cells, strict=True)) for cells in zip(*CELLS.values(), strict=True)]
    places = st.tuples(st.integers(0, 11), st.sampled_from([*CELLS, "", "x\0", "path"]))
    odd = st.sampled_from([*ODD, "../..", "0.png", "a/../1.png", "TRAIN", "\\", "C:\\x"])

    @fuzz(count, st.lists(st.tuples(places, odd), min_size=1, max_size=3))
    def check(changes: list[tuple[tuple[int, str], object]]) -> None:
        changed = [dict(row) for row in rows]
        for (row, name), value in changes:
            changed[row][name] = value
        path.write_bytes(b"\n".join(as_json(row) for row in changed))
        if (found := outcome(lambda: load(path))) is not None:
            sound(found)


@examples(200, 20_000)
def test_odd_names_of_columns_and_patterns_are_read_or_refused(count: int) -> None:
    words = ["image", "label", "=", ",", "(", ")", "[", "*", "\\", "?P<", "{9}", "\0", "\n", "x"]
    texts = st.lists(st.sampled_from(words), max_size=8).map("".join) | st.text(max_size=20)

    @fuzz(count, texts)
    def check(text: str) -> None:
        outcome(lambda: parse_columns(text))
        outcome(lambda: parse_pattern(text))


@examples(25, 2000)
@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_a_broken_dataset_of_hugging_face_is_read_or_refused(
    form: str, count: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(root / "hf"))
    cells = {
        "image": [Image.fromarray(np.full((4, 4, 3), 20 * i, np.uint8)) for i in range(12)],
        "label": [i % 2 for i in range(12)],
    }
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    made = datasets.Dataset.from_dict(cells, features=datasets.Features(features))
    folder = root / "made"
    if form == "saved":
        made.save_to_disk(folder)
    else:
        folder.mkdir()
        made.to_parquet(folder / "train.parquet")
    files = sorted(folder.iterdir())
    contents = [file.read_bytes() for file in files]
    numbers = iter(range(10**9))

    def load_it() -> Dataset:
        return load_dataset(
            f"hf:{folder}",
            image_size=4,
            # Else a table that was unpacked before would be taken.
            data_dir=root / "data" / str(next(numbers)),
            num_train=None,
            seed=0,
        )

    sound(load_it())
    broken = st.integers(0, len(files) - 1).flatmap(
        lambda which: st.tuples(st.just(which), mutated_bytes(contents[which]))
    )

    @fuzz(count, broken)
    def check(change: tuple[int, bytes]) -> None:
        for number, (file, content) in enumerate(zip(files, contents, strict=True)):
            # Anew: the library maps files into memory, which must not shrink under it.
            file.unlink()
            file.write_bytes(change[1] if number == change[0] else content)
        if (found := outcome(load_it)) is not None:
            sound(found)
