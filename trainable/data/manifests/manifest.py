"""Listing of the images that a table names, with labels, and parts and groups if it has them."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.file_facts import FileFacts, endings_of
from trainable.data.folders.split_names import part_of
from trainable.data.given_parts import require_classes, require_printable, with_test_part
from trainable.data.image_sources import TRAIN, Collection, FileSource, shown
from trainable.data.manifests.columns import find_columns
from trainable.data.manifests.table_file import Table, is_file, read_table

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,18}")


def list_manifest(
    path: Path, *, data_dir: Path, columns: Mapping[str, str], with_groups: bool = True
) -> Collection:
    """List the images of a table; nothing is decoded.

    Paths are relative to the table's folder if the first image lies there, else to ``data_dir``.
    Classes are sorted: as numbers if all labels are whole numbers, else as text.

    Args:
        path: The table, see `trainable.data.manifests.table_file`.
        data_dir: The other folder that paths may be relative to.
        columns: Name of a column by role, where its name does not say it (`columns.ROLES`).
        with_groups: Whether a column of groups is looked for.

    Raises:
        InputError: If the table cannot be read, a cell is empty or wrong, an image is not there or
            is named twice, or there are fewer than two classes or too few images of one.
    """
    table = read_table(path)
    found = find_columns(table, columns)
    if not with_groups:
        found.pop("group", None)
    cells = {role: table.texts(column) for role, column in found.items()}
    for role in ("image", "label", "group"):
        if "" in cells.get(role, ()):
            row = cells[role].index("")
            raise InputError(f"{table.where(row, found[role])} must not be empty.")
    root, paths = _placed(table, found["image"], cells["image"], data_dir)
    parts, notes = _parts(table, found, cells)
    _require_once(table, paths, parts, found["image"])
    class_names, labels = numbered_classes(cells["label"])
    require_printable(class_names, f"{path} holds")
    if len(class_names) < 2:
        raise InputError(
            f"Images must be of two classes at least, but column {shown(found['label'])} of "
            f"{path} holds {shown(class_names[0])} only."
        )
    used = ", ".join(f"{role} is {shown(column)}" for role, column in found.items())
    collection = Collection(
        source=FileSource(root, paths),
        labels=labels,
        class_names=class_names,
        parts=parts,
        notes=(f"Columns of {path.name}: {used}.", *notes),
        files=FileFacts(endings=endings_of(paths), is_listed=True),
        groups=cells.get("group"),
    )
    require_classes(collection, str(path))
    return collection


def _placed(
    table: Table, column: str, texts: Sequence[str], data_dir: Path
) -> tuple[Path, list[str]]:
    """Return the folder that paths are relative to, and the paths with forward slashes.

    Raises:
        InputError: If an image is not there.
    """
    folders = [table.path.parent, data_dir]
    root = next((folder for folder in folders if _found(folder, texts[0])), folders[0])
    paths = [_found(root, text) for text in texts]
    if "" in paths:
        row, count = paths.index(""), paths.count("")
        also = f" (nor are {count - 1} others)" if count > 1 else ""
        places = " nor ".join(str(folder) for folder in (folders if row == 0 else [root]))
        raise InputError(
            f"{table.where(row, column)} must name a file, but {shown(texts[row])} is not in "
            f"{places}{also}; give the folder that paths are relative to as --data-dir."
        )
    return root, paths


def _found(root: Path, text: str) -> str:
    """Return the normalized path of a file below ``root``, or empty if there is none."""
    for path in (text, text.replace("\\", "/")):
        if is_file(root / path):
            return posixpath.normpath(path)
    return ""


def _parts(
    table: Table, found: Mapping[str, str], cells: Mapping[str, Sequence[str]]
) -> tuple[NDArray[np.int8] | None, list[str]]:
    """Return the given part of each image, or None if all are for training or no part is given."""
    if "split" not in found:
        return None, []
    known = {word: part_of(word) for word in set(cells["split"])}
    for row, word in enumerate(cells["split"]):
        if known[word] is None:
            raise InputError(
                f"{table.where(row, found['split'])} must be train, val or test, but is "
                f"{shown(word)}."
            )
    parts = np.array([known[word] for word in cells["split"]], np.int8)
    if TRAIN not in parts:
        raise InputError(
            f"Column {shown(found['split'])} of {table.path} must name images to train on, but "
            f"holds {', '.join(shown(word) for word in sorted(known))} only."
        )
    return (None, []) if len({*parts.tolist()}) == 1 else with_test_part(parts)


def _require_once(
    table: Table, paths: Sequence[str], parts: NDArray[np.int8] | None, column: str
) -> None:
    """Raise if two rows name one image."""
    first: dict[str, int] = {}
    for row, path in enumerate(paths):
        before = first.setdefault(path, row)
        if before != row:
            in_two = parts is not None and parts[before] != parts[row]
            raise InputError(
                f"{table.where(row, column)} must name an image of its own, but {shown(path)} is "
                f"in row {table.rows[before]} too{', in another part' if in_two else ''}."
            )


def numbered_classes(texts: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Sort the classes, as numbers if all are; return their names and the number of each image."""
    names = sorted(set(texts))
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        names.sort(key=int)
    number = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([number[text] for text in texts], np.int64)
