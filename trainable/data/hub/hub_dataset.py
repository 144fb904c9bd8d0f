"""Finding of images, labels and parts in a dataset of Hugging Face, by its features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.file_facts import FileFacts
from trainable.data.folders.split_names import part_of
from trainable.data.given_parts import require_classes, require_printable, with_test_part
from trainable.data.hub.hub_source import HubSource
from trainable.data.hub.opening import open_splits
from trainable.data.image_sources import TRAIN, Collection, shown
from trainable.data.manifests.columns import ROLES, plain_name
from trainable.data.manifests.manifest import numbered_classes

if TYPE_CHECKING:
    import datasets


def list_hub_dataset(text: str, *, data_dir: Path, columns: Mapping[str, str]) -> Collection:
    """List the images of a dataset; no picture is decoded.

    The column of images is the one of type ``Image``; that of labels the one of type
    ``ClassLabel``, whose classes keep their order, else one that is called so. Splits are the
    parts.

    Args:
        text: A folder that `save_to_disk` wrote, a folder of Parquet files, or a name on the hub.
        data_dir: Where Parquet files of a folder are unpacked to.
        columns: Name of a column by role, where features do not say it.

    Raises:
        InputError: If it cannot be read, or no column or more than one may be meant, a label is
            missing, or a class has too few images.
    """
    if "split" in columns:
        raise InputError(
            "`columns` must name no split for a dataset of Hugging Face, whose own splits are the "
            "parts."
        )
    opened = open_splits(text, data_dir=data_dir)
    import datasets  # Only now, for it may not be installed, which `open_splits` says.

    features = next(iter(opened.values())).features
    found = {role: _column(text, features, role, columns) for role in ("image", "label", "group")}
    used = {role: column for role, column in found.items() if column is not None}
    splits, notes = _parts(text, opened)
    hidden = [split for split in splits if _hides_labels(split, used["label"])]
    splits = [split for split in splits if split not in hidden]
    notes += [f"Left out, for its labels are hidden: {split.name}." for split in hidden]
    if TRAIN not in [split.part for split in splits]:
        raise InputError(f"Images to train on must have labels, but those of {text} have none.")
    cells = [cell for split in splits for cell in _cells(text, split, used["label"])]
    kind = features[used["label"]]
    if isinstance(kind, datasets.ClassLabel):
        class_names, labels = _occurring(kind.names, np.array(cells, np.int64), notes)
    else:
        class_names, labels = numbered_classes([str(cell).strip() for cell in cells])
    require_printable(class_names, f"{text} holds")
    if len(class_names) < 2:
        raise InputError(
            f"Images must be of two classes at least, but those of {text} are of "
            f"{len(class_names)}."
        )
    parts, said = _given(splits)
    taken = ", ".join(f"{role} is {shown(column)}" for role, column in used.items())
    groups = None
    if "group" in used:
        groups = [str(c) for split in splits for c in _cells(text, split, used["group"])]
    collection = Collection(
        source=_source(splits, used["image"]),
        labels=labels,
        class_names=class_names,
        parts=parts,
        notes=(f"Columns: {taken}.", *notes, *said),
        files=FileFacts(is_listed=True),
        groups=groups,
    )
    require_classes(collection, text)
    return collection


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Split:
    """A split of a dataset.

    Attributes:
        name: Its name.
        rows: Its rows.
        part: `TRAIN`, `VAL` or `TEST`.
    """

    name: str
    rows: "datasets.Dataset"
    part: int


def _source(splits: Sequence[_Split], column: str) -> HubSource:
    import datasets

    bare = datasets.Image(decode=False)
    sizes = [len(split.rows) for split in splits]
    places = [
        np.repeat(np.arange(len(splits)), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
    ]
    return HubSource(
        splits=[
            (split.name, split.rows.select_columns([column]).cast_column(column, bare))
            for split in splits
        ],
        column=column,
        places=np.stack(places, axis=1).astype(np.int64),
    )


def _given(splits: Sequence[_Split]) -> tuple[NDArray[np.int8] | None, list[str]]:
    """Return the part of each image, or None if all are for training."""
    if len(splits) == 1:
        return None, []
    parts = [np.full(len(split.rows), split.part, np.int8) for split in splits]
    return with_test_part(np.concatenate(parts))


def _column(
    text: str, features: "datasets.Features", role: str, given: Mapping[str, str]
) -> str | None:
    """Choose the column of a role; None if there is no column of groups."""
    import datasets

    kinds: dict[str, Any] = {"image": datasets.Image, "label": datasets.ClassLabel}
    if role in given:
        if given[role] not in features:
            raise InputError(
                f"`columns` names {shown(given[role])} for the {role}, but {text} has "
                f"{_listed(list(features))}."
            )
        found = [given[role]]
    else:
        wanted = kinds.get(role, ())
        found = [name for name, kind in features.items() if isinstance(kind, wanted)]
        found = found or [name for name in features if plain_name(name) in ROLES[role]]
    if not found and role == "group":
        return None
    if len(found) != 1:
        what = "no column" if not found else f"columns {_listed(found)}"
        raise InputError(
            f"{text} must have one column of the {role}, but has {what} (of "
            f"{_listed(list(features))}); name it by --columns {role}=..."
        )
    kind = features[found[0]]
    if role == "image" and not isinstance(kind, datasets.Image):
        raise InputError(
            f"Column {shown(found[0])} of {text} must be of type Image, but is {str(kind)[:80]}."
        )
    if role != "image" and not isinstance(kind, (datasets.ClassLabel, datasets.Value)):
        raise InputError(
            f"Column {shown(found[0])} of {text} must hold one text or number in each row as the "
            f"{role}, but is {str(kind)[:80]}."
        )
    return found[0]


def _parts(text: str, opened: Mapping[str, "datasets.Dataset"]) -> tuple[list[_Split], list[str]]:
    """Return the splits that are parts, in their order, and notes on the others."""
    if len(opened) == 1:
        return [_Split(name=name, rows=rows, part=TRAIN) for name, rows in opened.items()], []
    known = {name: part_of(name) for name in opened}
    others = [name for name, part in known.items() if part is None]
    parts = [part for part in known.values() if part is not None]
    if TRAIN not in parts or len({*parts}) < len(parts):
        raise InputError(
            f"Splits must be called train, validation and test, each once, but {text} has "
            f"{_listed(list(opened))}."
        )
    found = [
        _Split(name=name, rows=opened[name], part=part)
        for name, part in known.items()
        if part is not None
    ]
    notes = [f"Left out, for they are no parts: {_listed(others)}."] if others else []
    return sorted(found, key=lambda split: split.part), notes


def _hides_labels(split: _Split, column: str) -> bool:
    """Whether all labels of a split are -1, as those of a contest's test images are."""
    import datasets

    is_numbered = isinstance(split.rows.features[column], datasets.ClassLabel)
    return is_numbered and {*split.rows[column][:]} == {-1}


def _cells(text: str, split: _Split, column: str) -> list[Any]:
    """Return the cells of a column of labels or groups.

    Raises:
        InputError: If one is missing, or neither text nor a whole number.
    """
    import datasets

    kind = split.rows.features[column]
    # The library does not hold numbers to the classes that there are.
    most = len(kind.names) - 1 if isinstance(kind, datasets.ClassLabel) else None
    cells = split.rows[column][:]
    for row, cell in enumerate(cells):
        is_missing = cell is None or cell == "" or (most is not None and not 0 <= cell <= most)
        is_fraction = isinstance(cell, float) and not cell.is_integer()
        if is_missing or is_fraction or not isinstance(cell, str | int | float):
            raise InputError(
                f"{text}, {split.name} row {row}, column {shown(column)} must hold "
                f"{'the number of a class' if most is not None else 'one text or whole number'}, "
                f"but holds {shown(str(cell))}."
            )
    return [int(cell) if isinstance(cell, float) else cell for cell in cells]


def _occurring(
    names: Sequence[str], labels: NDArray[np.int64], notes: list[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes that occur, in their order, and the labels by their new numbers."""
    used, numbers = np.unique(labels, return_inverse=True)
    if len(used) < len(names):
        notes.append(f"{len(names) - len(used)} of {len(names)} classes have no image.")
    return tuple(names[i] for i in used.tolist()), numbers.astype(np.int64)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(shown(name) for name in names[:8]) + more
