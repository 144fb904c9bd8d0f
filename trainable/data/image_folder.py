"""A folder of images as people keep them: one folder per class, already split or not."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from trainable.data.image_decode import IMAGE_SUFFIXES
from trainable.data.image_sources import TEST, TRAIN, VAL, Collection, FileSource, printable

SMALLEST_CLASS = 3
"""Images that a class needs: one to train on, one to validate on, one to test on."""
_PARTS = {"train": TRAIN, "val": VAL, "test": TEST}


def list_image_folder(root: Path) -> Collection:
    """List ``root/<class>/*`` or ``root/{train,val,test}/<class>/*``; nothing is decoded.

    Classes are sorted by name, and their images may lie in folders further below. Hidden files and
    files of other kinds are passed over. A given split may lack ``val``, which is then held out of
    ``train``, or ``test``: ``val`` is then tested on, as is usual for ImageNet.

    Args:
        root: The folder.

    Raises:
        InputError: If the folder is missing or holds no classes, if a class has fewer than three
            images, or if a split is given in part or with classes that ``train`` lacks.
    """
    if not is_folder(root):
        raise InputError(f"An image folder must exist, but {root} does not or is no folder.")
    folders = _subfolders(root)
    # A class may be called "train" too; then it holds images, not folders.
    if "train" not in folders or not _subfolders(root / "train"):
        if folders and set(folders) <= set(_PARTS):
            raise InputError(
                f"A given split must have folders of classes in `train`, but {root} has none."
            )
        return _listed(root, {"": folders}, _notes_on_loose_images(root))
    unknown = sorted(set(folders) - set(_PARTS))
    if unknown:
        raise InputError(
            f"Beside `train` only `val` and `test` may lie in {root}, but got {unknown[0]!r}."
        )
    if folders == ["train"]:
        return list_image_folder(root / "train")
    classes = {part: _subfolders(root / part) for part in _PARTS if part in folders}
    for part, names in classes.items():
        if not names:
            raise InputError(
                f"`{part}` must hold one folder per class, but {root / part} has none."
            )
        surplus = sorted(set(names) - set(classes["train"]))
        if surplus:
            raise InputError(
                f"Every class must be in `train`, but {surplus[0]!r} is only in `{part}` of {root}."
            )
    return _listed(root, classes, [])


def _listed(root: Path, classes: dict[str, list[str]], notes: list[str]) -> Collection:
    """Collect the images of each class, part by part; the part "" stands for no given split."""
    class_names = tuple(next(iter(classes.values())))
    for name in class_names:
        if printable(name) != name:
            raise InputError(
                f"The name of a class must be text without control characters, but {root} holds "
                f"a folder {printable(name)!r}."
            )
    if len(class_names) < 2:
        loose = any(_is_image(path.name) for path in _entries(root) if path.is_file())
        raise InputError(
            f"An image folder must hold one folder per class, at least two, but {root} holds "
            f"{'only images' if loose and not class_names else len(class_names)}."
        )
    paths: list[str] = []
    labels: list[int] = []
    parts: list[int] = []
    endings: Counter[str] = Counter()
    for part, names in classes.items():
        for name in names:
            found = []
            for path in _files_below(root, f"{part}/{name}".lstrip("/")):
                if _is_image(path):
                    found.append(path)
                else:
                    endings[Path(path).suffix.lower() or "none"] += 1
            paths += sorted(found)
            labels += [class_names.index(name)] * len(found)
            parts += [_PARTS.get(part, TRAIN)] * len(found)
    if endings:
        kinds = ", ".join(sorted(endings))
        notes = [*notes, f"{endings.total()} files of other kinds were passed over ({kinds})."]
    given = np.array(parts, np.int8) if "" not in classes else None
    if given is not None and TEST not in given:
        given[given == VAL] = TEST
        notes = [*notes, "No `test` folder: `val` is tested on, validation is held out of `train`."]
    collection = Collection(
        source=FileSource(root, paths),
        labels=np.array(labels, np.int64),
        class_names=class_names,
        parts=given,
        notes=tuple(notes),
    )
    _check_classes(collection, str(root))
    return collection


def _check_classes(collection: Collection, where: str) -> None:
    """Refuse classes that cannot be in every part."""
    num_classes = len(collection.class_names)
    counts = np.bincount(collection.labels, minlength=num_classes)
    if counts.min() < SMALLEST_CLASS:
        name = collection.class_names[int(counts.argmin())]
        raise InputError(
            f"Every class must have at least {SMALLEST_CLASS} images, but {name!r} of {where} has "
            f"{counts.min()}."
        )
    if collection.parts is not None:
        trained = np.bincount(collection.labels[collection.parts == TRAIN], minlength=num_classes)
        if trained.min() == 0:
            name = collection.class_names[int(trained.argmin())]
            raise InputError(f"Every class must have images in `train`, but {name!r} has none.")


def _notes_on_loose_images(root: Path) -> list[str]:
    loose = [path.name for path in _entries(root) if _is_image(path.name) and path.is_file()]
    if not loose:
        return []
    return [
        f"{len(loose)} images beside the class folders were left out; the first: "
        f"{printable(loose[0])}."
    ]


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; there is none under a name that no folder can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} must be readable, but is not ({error.strerror}).") from error


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in _entries(folder) if is_folder(path) and path.name[0] != "."]


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _files_below(root: Path, folder: str) -> Iterator[str]:
    """Paths of the files below a folder, relative to ``root``; links are followed, once each."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} must be readable, but is not ({error.strerror}).")

    # Not Path.resolve, which raises where links lead in a circle.
    visited = {os.path.realpath(root / folder)}
    for parent, folders, files in os.walk(root / folder, followlinks=True, onerror=refuse):
        real = {f: os.path.realpath(Path(parent, f)) for f in folders if not f.startswith(".")}
        folders[:] = [f for f in real if real[f] not in visited]
        visited.update(real.values())
        relative = Path(parent).relative_to(root).as_posix()
        yield from (f"{relative}/{file}" for file in files if not file.startswith("."))
