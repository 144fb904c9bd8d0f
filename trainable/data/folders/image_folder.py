"""Listing of an image folder: one folder per class, with or without a given split."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.file_facts import FileFacts, endings_of
from trainable.data.folders.folder_walk import (
    entries,
    files_below,
    is_folder,
    is_image,
    subfolders,
)
from trainable.data.folders.split_folders import given_split, split_within
from trainable.data.folders.split_names import part_of
from trainable.data.given_parts import require_classes, require_printable, with_test_part
from trainable.data.image_sources import TRAIN, Collection, FileSource, printable

_ALL = -1  # Key in place of the parts if the folders of the classes are at the top.


def list_image_folder(root: Path) -> Collection:
    """List ``root/<class>/*`` or ``root/{train,val,test}/<class>/*``; nothing is decoded.

    Classes are sorted by name, and their images may lie in folders further below. Hidden files and
    files of other kinds are passed over. The parts of a given split may have other names that
    leave no doubt (``Training``, ``valid``, ``seg_test``), and may lie inside the classes. It may
    lack ``val``, which is then held out of ``train``, or ``test``: ``val`` is then tested on, as is
    usual for ImageNet.

    Args:
        root: The folder.

    Raises:
        InputError: If the folder is missing or holds no classes, if a class has fewer than three
            images, if a split is given in part or with classes that ``train`` lacks, or if folders
            may be both classes and the parts of a split.
    """
    if not is_folder(root):
        raise InputError(f"An image folder must exist, but {root} does not or is no folder.")
    names = subfolders(root)
    if len(names) == 1 and part_of(names[0]) == TRAIN and subfolders(root / names[0]):
        return list_image_folder(root / names[0])
    if len(names) == 1 and part_of(names[0]) is not None:
        raise InputError(
            f"A given split must have folders of classes in `train`, but {root} has none."
        )
    split = given_split(root, names)
    if split is None:
        return _listed(root, {_ALL: {name: name for name in names}}, _notes_on_loose_images(root))
    return _listed(root, split.folders, list(split.notes))


def _listed(root: Path, folders: Mapping[int, Mapping[str, str]], notes: list[str]) -> Collection:
    """Collect the images of each class and part into a collection."""
    class_names = tuple(next(iter(folders.values())))
    _check_names(root, class_names)
    paths: list[str] = []
    labels: list[int] = []
    parts: list[int] = []
    inside: list[str] = []  # The folder in that of the class in which an image lies, or nothing.
    others: Counter[str] = Counter()
    for part, classes in folders.items():
        for name, folder in classes.items():
            found = []
            for path in files_below(root, folder):
                if is_image(path):
                    found.append(path)
                else:
                    others[Path(path).suffix.lower() or "none"] += 1
            found.sort()
            paths += found
            labels += [class_names.index(name)] * len(found)
            parts += [part] * len(found)
            beyond = (path[len(folder) + 1 :].partition("/") for path in found)
            inside += [first if slash else "" for first, slash, _ in beyond]
    if others:
        kinds = ", ".join(sorted(others))
        notes = [*notes, f"{others.total()} files of other kinds were passed over ({kinds})."]
    given: NDArray[np.int8] | None = np.array(parts, np.int8)
    if _ALL in folders:
        given, said = _within_classes(root, class_names, labels, inside)
        notes = [*notes, *said]
    if given is not None:
        given, said = with_test_part(given)
        notes = [*notes, *said]
    collection = Collection(
        source=FileSource(root, paths),
        labels=np.array(labels, np.int64),
        class_names=class_names,
        parts=given,
        notes=tuple(notes),
        files=FileFacts(endings=endings_of(paths), num_nested=sum(map(bool, inside))),
    )
    require_classes(collection, str(root))
    return collection


def _within_classes(
    root: Path, class_names: tuple[str, ...], labels: Sequence[int], inside: Sequence[str]
) -> tuple[NDArray[np.int8] | None, list[str]]:
    """Return the part of each image if the classes have folders of parts, and notes on that."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for label, name in zip(labels, inside, strict=True):
        by_class[class_names[label]].append(name)
    split = split_within(root, by_class)
    if split is not None:
        part_by_name, notes = split
        return np.array([part_by_name[name] for name in inside], np.int8), notes
    shared = set.intersection(*map(set, by_class.values())) - {""} if by_class else set()
    if len(shared) < 2 or "" in inside:
        return None, []
    named = ", ".join(sorted(shared)[:3])
    return None, [
        f"Every class holds folders of the same names ({named}). If those are the classes, their "
        "folders must lie in one called train, beside val and test."
    ]


def _check_names(root: Path, class_names: tuple[str, ...]) -> None:
    require_printable(class_names, f"{root} holds a folder")
    if len(class_names) < 2:
        loose = any(is_image(path.name) for path in entries(root) if path.is_file())
        raise InputError(
            f"An image folder must hold one folder per class, at least two, but {root} holds "
            f"{'only images' if loose and not class_names else len(class_names)}."
        )


def _notes_on_loose_images(root: Path) -> list[str]:
    loose = [path.name for path in entries(root) if is_image(path.name) and path.is_file()]
    if not loose:
        return []
    return [
        f"{len(loose)} images beside the class folders were left out; the first: "
        f"{printable(loose[0])}."
    ]
