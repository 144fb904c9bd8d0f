"""Images that came from memory, kept on the disk as an image folder that is named by its content.

A run needs its images for as long as it can be gone on with, in other processes and on other days;
an image folder is what everything else reads, other trainers included. PNG loses nothing.
"""

import hashlib
import operator
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from spaces.errors import InputError
from trainable.data.folders.split_names import part_of
from trainable.data.image_sources import TEST, TRAIN, VAL, printable

FOLDER = "from-memory"
"""Folder of these image folders below the data directory."""
_PARTS = {TRAIN: "train", VAL: "val", TEST: "test"}
_MODES = ("L", "RGB", "RGBA", "I;16")
"""Modes of Pillow that are stored as they are; others become RGB."""
_MOST_NAME_BYTES = 200
_ACCEPTED = (
    "a pair of a uint8 array of shape (N, H, W, 3) and labels, a dataset whose items are pairs of "
    "a PIL image and an integer, or a Hugging Face dataset of images and labels"
)


class MapStyle(Protocol):
    """A dataset of items that are reached by number, as torch has them."""

    def __len__(self) -> int:
        """Number of items."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return an item: an image and its label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Labelled:
    """Labelled images that can be reached by number.

    Attributes:
        items: Function from a number to an image and its label, an integer or a name.
        num_images: How many there are.
        class_names: Name of each class, or None if labels alone are known.
    """

    items: Any
    num_images: int
    class_names: tuple[str, ...] | None

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self.items(number) for number in range(self.num_images))


def keep_images(images: object, data_dir: Path) -> Path:
    """Write images from memory to an image folder, unless the same are there already.

    Args:
        images: A pair of bytes of shape image, height, width, 3 (or image, height, width for grey)
            and labels of shape image, integers from 0 or names; a map-style dataset whose items are
            a PIL image and an integer; a dataset of Hugging Face with one column of images and one
            of labels; or a mapping from ``train``, ``val`` and ``test`` to any of these.
        data_dir: Directory for datasets, made if need be.

    Returns:
        Path of the folder, whose name follows from images, labels and names of classes.

    Raises:
        InputError: If it is anything else, or nothing can be written there.
    """
    given = images if isinstance(images, Mapping) else {"": images}
    parts = {_folder_of_part(name): _labelled(part) for name, part in given.items()}
    folder = Path(data_dir).absolute() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(prefix=".begun-", dir=folder))
    except OSError as error:
        raise InputError(
            f"Images from memory are kept in {folder}, so `data_dir` must be writable, but it is "
            f"not ({error.strerror})."
        ) from error
    try:
        classes = _classes(parts.values())
        digest = hashlib.blake2b(repr(list(classes.values())).encode(), digest_size=8)
        for name, part in parts.items():
            digest.update(f"{name}\0{part.num_images}\0".encode())
            _write(part, begun / name, classes, digest)
        kept = folder / f"images-{digest.hexdigest()}"
        if not kept.exists():
            begun.chmod(0o755)  # Unlike the temporary folder that it was.
            begun.rename(kept)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return kept


def require_kept(path: Path) -> None:
    """Raise if a path is that of a folder of images from memory which is gone.

    Raises:
        InputError: If it is; the message says what brings it back.
    """
    if path.parent.name == FOLDER and not path.is_dir():
        raise InputError(
            f"These images came from memory, and their copy {path} is gone: give the same images "
            "again, as in search.resume(run, dataset=images)."
        )


def _write(part: _Labelled, root: Path, classes: Mapping[Any, str], digest: Any) -> None:
    """Write the images of one part below their classes, and add all of them to the digest."""
    for folder in classes.values():
        (root / folder).mkdir(parents=True)
    width = len(str(part.num_images))
    for number, (image, label) in enumerate(part):
        picture = _picture(image, number)
        folder = classes[_plain(label, number)]
        digest.update(f"{folder}\0{picture.mode}\0{picture.size}\0".encode())
        digest.update(picture.tobytes())
        # The fastest level: these images are read once, and then cached decoded.
        picture.save(root / folder / f"{number:0{width}}.png", compress_level=1)


def _picture(image: Any, number: int) -> Image.Image:
    """Return an image as it will be stored: without metadata, as its pixels are what counts."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        raise InputError(
            f"Images in memory must be PIL images, but that of item {number} is of type "
            f"{type(image).__name__}; leave out transforms."
        )
    plain = image.copy() if image.mode in _MODES else image.convert("RGB")
    plain.info = {}
    return plain


def _labelled(part: object) -> _Labelled:
    """Recognise one of the accepted kinds of data.

    Raises:
        InputError: If it is none of them, or has no images.
    """
    if isinstance(part, (tuple, list)) and len(part) == 2 and hasattr(part[0], "shape"):
        found = _of_arrays(*part)
    elif hasattr(part, "column_names") and hasattr(part, "features"):
        found = _of_columns(part)
    elif hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, str):
        found = _of_items(part)
    else:
        raise InputError(f"`dataset` must be {_ACCEPTED}, but got {type(part).__name__}.")
    if found.num_images == 0:
        raise InputError("`dataset` must hold images, but is empty.")
    return found


def _of_arrays(images: Any, labels: Any) -> _Labelled:
    pixels, named = np.asarray(images), np.asarray(labels)
    is_grey, is_colour = pixels.ndim == 3, pixels.ndim == 4 and pixels.shape[-1] == 3
    if pixels.dtype != np.uint8 or not (is_grey or is_colour):
        raise InputError(
            "Images in memory must be a uint8 array of shape (N, H, W, 3), or (N, H, W) for grey, "
            f"but got {pixels.dtype} of shape {pixels.shape}."
        )
    if named.shape != (len(pixels),):
        raise InputError(
            f"Labels must be of shape ({len(pixels)},), one for each image, but got {named.shape}."
        )
    return _Labelled(
        items=lambda number: (pixels[number], named[number]),
        num_images=len(pixels),
        class_names=None,
    )


def _of_columns(part: Any) -> _Labelled:
    """Find the column of images and that of labels of a Hugging Face dataset."""
    first = part[0] if len(part) else {}
    images = [name for name, value in first.items() if isinstance(value, Image.Image)]
    with_names = [n for n in first if getattr(part.features[n], "names", None)]
    whole = [n for n, v in first.items() if isinstance(v, int) and not isinstance(v, bool)]
    labels = with_names or [n for n in whole if n.startswith("label")] or whole
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            "A Hugging Face dataset must have one column of images and one of labels, but its "
            f"columns are {', '.join(part.column_names)}; select two of them (select_columns)."
        )
    (image,), (label,) = images, labels
    names = getattr(part.features[label], "names", None)

    def item(number: int) -> tuple[Any, Any]:
        row = part[number]
        return row[image], row[label]

    return _Labelled(
        items=item, num_images=len(part), class_names=None if names is None else tuple(names)
    )


def _of_items(part: Any) -> _Labelled:
    names, at = None, part
    while names is None and at is not None:  # A subset of torch has its dataset inside.
        names, at = getattr(at, "classes", None), getattr(at, "dataset", None)

    def item(number: int) -> tuple[Any, Any]:
        pair = part[number]
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(
                f"Items of a dataset must be pairs of a PIL image and an integer, but item "
                f"{number} is of type {type(pair).__name__}."
            )
        return pair[0], pair[1]

    return _Labelled(
        items=item,
        num_images=len(part),
        class_names=None if names is None else tuple(str(name) for name in names),
    )


def _classes(parts: Any) -> dict[Any, str]:
    """Return the folder of each label, so that the folders' order is that of the classes.

    Raises:
        InputError: If parts name their classes differently, or a name cannot be that of a folder.
    """
    parts = list(parts)
    named = {part.class_names for part in parts} - {None}
    if len(named) > 1:
        raise InputError("All parts of `dataset` must have the same classes in the same order.")
    if named:
        names = list(named.pop())
        labels: list[Any] = list(range(len(names)))
    else:
        labels = sorted({_plain(label, i) for part in parts for i, (_, label) in enumerate(part)})
        width = max(len(str(label)) for label in labels)
        names = [f"{n:0{width}}" if isinstance(n, int) else n for n in labels]
    if sorted(names) != names or any(part_of(name) is not None for name in names):
        # The number keeps the order, and tells a class of railway from a part of the data.
        names = [f"{number:0{len(str(len(names)))}} {name}" for number, name in enumerate(names)]
    for name in names:
        is_plain = printable(name) == name and "/" not in name and name[:1] not in ("", ".")
        if not is_plain or len(name.encode()) > _MOST_NAME_BYTES:
            raise InputError(
                f"The name of a class must be one that a folder can have, but got {name[:80]!r}."
            )
    return dict(zip(labels, names, strict=True))


def _plain(label: Any, number: int) -> int | str:
    if isinstance(label, str):
        return str(label)
    try:
        value = operator.index(label)
    except TypeError:
        value = -1
    if value < 0:
        raise InputError(
            f"Labels must be integers from 0 or names, but that of item {number} is {label!r}."
        )
    return value


def _folder_of_part(name: object) -> str:
    if name == "":
        return ""
    part = part_of(name) if isinstance(name, str) else None
    if part is None:
        raise InputError(f"The parts of `dataset` must be train, val and test, but got {name!r}.")
    return _PARTS[part]
