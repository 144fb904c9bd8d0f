"""Finding of a dataset by name or path: its images and labels, not decoded yet."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.data import public_datasets
from trainable.data.folders.folder_walk import is_folder
from trainable.data.folders.image_folder import list_image_folder
from trainable.data.folders.kept_images import require_kept
from trainable.data.groups import grouped_by
from trainable.data.hub.hub_dataset import list_hub_dataset
from trainable.data.image_sources import Collection
from trainable.data.manifests.columns import parse_columns
from trainable.data.manifests.manifest import list_manifest
from trainable.data.manifests.table_file import SUFFIXES, is_table
from trainable.data.pixels.image_decode import UnreadableImageError, quiet_pillow
from trainable.data.place import HUB, expanded

_TRANSFER = Recipe(model="tf_efficientnet_lite0", pretrained=True, epochs=15, batch_size=32)
_PHOTOS = replace(_TRANSFER, image_size=128, epochs=20, hflip=0.5)
_SCRATCH = Recipe(model="resnet18_cifar", epochs=30, batch_size=128, hflip=0.5)
_FOLDER_SIZES = (32, 64, 96, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """The definition of a named dataset.

    Attributes:
        collect: Lists its images, given the data directory.
        recipe: Defaults of the run, without any regularizer.
        sizes: Training and validation images where there is no official split.
    """

    collect: Callable[[Path], Collection]
    recipe: Recipe
    sizes: tuple[int, int] | None = None


NAMED = {
    "small-transfer": Named(collect=public_datasets.digits, recipe=_TRANSFER, sizes=(300, 300)),
    "digits": Named(collect=public_datasets.digits, recipe=_TRANSFER, sizes=(1077, 360)),
    "fashion-mnist": Named(collect=public_datasets.fashion_mnist, recipe=_TRANSFER),
    "cifar10": Named(collect=public_datasets.cifar10, recipe=_SCRATCH),
    "cifar100": Named(collect=public_datasets.cifar100, recipe=_SCRATCH),
    "flowers102": Named(collect=public_datasets.flowers102, recipe=_PHOTOS),
    "oxford-pets": Named(collect=public_datasets.oxford_pets, recipe=_PHOTOS),
    "stl10": Named(collect=public_datasets.stl10, recipe=replace(_PHOTOS, image_size=96)),
}
"""Datasets by name."""


def dataset_names() -> tuple[str, ...]:
    """Return the names of datasets that `collect` accepts beside paths."""
    return tuple(NAMED)


def default_recipe(
    name_or_path: str | Path, *, data_dir: Path = Path("data"), columns: str | None = None
) -> Recipe:
    """Return the default recipe of a dataset, with all strengths off.

    Images of a folder or table are trained at 32, 64, 96 or 128 px, whichever comes closest to
    their size without enlarging them.

    Args:
        name_or_path: See `collect`.
        data_dir: See `collect`.
        columns: See `collect`.

    Raises:
        InputError: If there is no dataset of this name or path.
    """
    if str(name_or_path) in NAMED:
        return NAMED[str(name_or_path)].recipe
    found = collect(name_or_path, data_dir=data_dir, columns=columns, group_by=None)
    short_side = _typical_short_side(found)
    fitting = [size for size in _FOLDER_SIZES if size <= short_side]
    return replace(_PHOTOS, image_size=max(fitting, default=_FOLDER_SIZES[0]))


def collect(
    name_or_path: str | Path, *, data_dir: Path, columns: str | None, group_by: str | None
) -> Collection:
    """List the images and labels of a dataset.

    Args:
        name_or_path: One of `dataset_names`, the path of an image folder or of a table of images
            (`trainable.data.manifests`), or ``hf:`` and what `trainable.data.hub` opens.
        data_dir: Where named datasets lie or are downloaded to.
        columns: Columns of a table, as ``image=file,label=species``; None finds them by name.
        group_by: Regular expression whose first group names the group of a file; None takes the
            column of the table, if there is one.

    Raises:
        InputError: If it is not there, is none, or a setting is wrong.
    """
    text = str(name_or_path)
    given = parse_columns(columns)
    path = expanded(text)
    if text.startswith(HUB):
        found = list_hub_dataset(text.removeprefix(HUB), data_dir=data_dir, columns=given)
    elif text not in NAMED and is_table(path):
        if group_by is not None and "group" in given:
            raise InputError("`group_by` and a column of the group must not both be given.")
        found = list_manifest(path, data_dir=data_dir, columns=given, with_groups=group_by is None)
    elif columns is not None:
        raise InputError(
            f"`columns` must be left out where the dataset is no table, but {text!r} is none."
        )
    else:
        found = NAMED[text].collect(data_dir) if text in NAMED else _list_folder(text)
    return found if group_by is None else grouped_by(found, group_by)


def _list_folder(text: str) -> Collection:
    """List an image folder; if there is none, raise with the most similar name of a dataset."""
    root = expanded(text)
    if "/" not in text and not is_folder(root):
        close = difflib.get_close_matches(text, NAMED, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"`dataset` must be one of {', '.join(NAMED)}, or the path of an image folder or of a "
            f"table of images ({', '.join(SUFFIXES)}), but got {text!r}.{hint}"
        )
    require_kept(root)
    return list_image_folder(root)


def _typical_short_side(collection: Collection) -> float:
    """Return the median shorter side of up to 64 images, read from their headers."""
    source = collection.source
    sides = []
    with quiet_pillow():
        for index in np.linspace(0, len(source) - 1, min(len(source), 64)).astype(int).tolist():
            try:
                sides.append(min(source.size(index)))
            except UnreadableImageError:
                continue  # `load_dataset` names it.
    return float(np.median(sides)) if sides else 0.0
