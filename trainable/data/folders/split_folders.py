"""Detection of a split that is given by folders; an error where the folders are ambiguous.

The parts lie above the classes (``Training/<class>/``) or inside them (``<class>/train/``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError
from trainable.data.folders.folder_walk import subfolders
from trainable.data.folders.split_names import NamedParts, named_parts, part_of
from trainable.data.image_sources import TEST, TRAIN, VAL, printable

_NAMES = {TRAIN: "train", VAL: "val", TEST: "test"}
_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenSplit:
    """A split whose folders contain the folders of the classes.

    Attributes:
        folders: Path of the folder of each class, relative to the root, by part and class.
        notes: Sentences on the split for the user.
    """

    folders: Mapping[int, Mapping[str, str]]
    notes: tuple[str, ...]


def given_split(root: Path, names: Sequence[str]) -> GivenSplit | None:
    """Interpret the folders in ``root`` as the parts of a split, if their names say so.

    Returns:
        None if they are classes.

    Raises:
        InputError: If they may be both, or if they are a split in part only.
    """
    found = named_parts(names)
    if found is None:
        _check_no_lone_part(root, names)
        return None
    parts = {name: _below_wrapper(root, name, part) for name, part in found.parts.items()}
    classes = {name: subfolders(root / folder) for name, folder in parts.items()}
    _check_split(root, names, found, classes)
    trained = next(classes[name] for name, part in found.parts.items() if part == TRAIN)
    for name, its in classes.items():
        if surplus := sorted(set(its) - set(trained)):
            raise InputError(
                f"Every class must be in `train`, but {printable(surplus[0])!r} is only in "
                f"`{name}` of {root}."
            )
    folders = {
        part: {each: f"{parts[name]}/{each}" for each in classes[name]}
        for name, part in found.parts.items()
    }
    # Of the names that the manual gives them nothing needs to be said.
    notes = [_said(found, "folders")] if set(found.parts) - set(_NAMES.values()) else []
    if found.unlabelled:
        notes.append(
            f"Left out, for it holds no classes: {printable(', '.join(found.unlabelled))}."
        )
    return GivenSplit(folders=folders, notes=tuple(notes))


def split_within(
    root: Path, inside: Mapping[str, Sequence[str]]
) -> tuple[Mapping[str, int], list[str]] | None:
    """Interpret the folders inside the classes as the parts of a split, if their names say so.

    Args:
        root: The folder of the classes.
        inside: By class, for each of its images, the name of the folder inside that of the class
            in which it lies; empty for none.

    Returns:
        The part by the name of the folder and a note, or None if they are no parts.

    Raises:
        InputError: If they may be, as they are called so in some classes only.
    """
    names = sorted({name for each in inside.values() for name in each})
    found = named_parts([name for name in names if name])
    if found is None or len({*found.parts.values()}) < 2:
        return None
    if not found.is_clear or found.unlabelled or "" in names:
        where = next(iter(inside))
        raise _doubtful(root / where, [name for name in names if name])
    return found.parts, [_said(found, "folders inside each class")]


def _said(found: NamedParts, what: str) -> str:
    named = ", ".join(f"{printable(name)} is {_NAMES[part]}" for name, part in found.parts.items())
    return f"The split is given by {what}: {named}."


def _check_no_lone_part(root: Path, names: Sequence[str]) -> None:
    """Raise if a folder with the name of a part is ambiguous beside the other folders."""
    for name in names:
        if (part := part_of(name)) is None:
            continue
        inside, others = set(subfolders(root / name)), [other for other in names if other != name]
        if part == TRAIN and inside and others:
            raise InputError(
                f"Beside `{name}`, which holds folders, only `val` and `test` may lie in {root}, "
                f"but got {printable(others[0])!r}."
            )
        if inside & set(others):
            raise _doubtful(root, names)


def _check_split(
    root: Path, names: Sequence[str], found: NamedParts, classes: Mapping[str, list[str]]
) -> None:
    """Raise if folders are named like a split but are none, or an incomplete one."""
    if len(found.parts) == len(names) and TRAIN not in found.parts.values():
        raise InputError(
            f"A given split must have folders of classes in `train`, but {root} has none."
        )
    has_labelled_rest = any(len(subfolders(root / name)) > 1 for name in found.unlabelled)
    if not found.is_clear or has_labelled_rest or not any(classes.values()):
        raise _doubtful(root, names)
    for name, its in classes.items():
        if not its:
            raise InputError(
                f"`{name}` must hold one folder per class, but {root / name} has none."
            )


def _doubtful(root: Path, names: Sequence[str]) -> InputError:
    shown = ", ".join(repr(printable(name)) for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return InputError(
        f"{root} holds folders that may be the parts of a split and may be classes: {shown}{more}. "
        "Parts must be called train, val and test, hold a folder per class each, and have nothing "
        "else beside them; classes must have other names."
    )


def _below_wrapper(root: Path, name: str, part: int) -> str:
    """Return the folder of a part, or its only subfolder if that has the same name or part.

    Unpacking an archive often doubles a folder.
    """
    inside = subfolders(root / name)
    if len(inside) != 1 or not (inside[0] == name or part_of(inside[0]) == part):
        return name
    return f"{name}/{inside[0]}" if subfolders(root / name / inside[0]) else name
