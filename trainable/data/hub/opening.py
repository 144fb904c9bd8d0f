"""Opening of a dataset by the `datasets` library, which is installed on request only."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import InputError
from trainable.data.folders.folder_walk import is_folder
from trainable.data.image_sources import printable, shown
from trainable.data.place import expanded
from trainable.network import is_reachable

if TYPE_CHECKING:
    import datasets

HUB_URL = "https://huggingface.co"
_SAVED = ("dataset_dict.json", "dataset_info.json")
_MOST_SAID = 300


def open_splits(text: str, *, data_dir: Path) -> Mapping[str, "datasets.Dataset"]:
    """Open all splits of a dataset by name; a single one without a name is called ``train``.

    Args:
        text: A folder, or ``owner/name`` or ``owner/name/config`` on the hub.
        data_dir: Where Parquet files of a folder are unpacked to; what is downloaded goes where the
            library puts it (HF_HOME).

    Raises:
        InputError: If the library is not installed, or the dataset cannot be opened.
    """
    if importlib.util.find_spec("datasets") is None:
        raise InputError(
            "A dataset of Hugging Face needs the library `datasets`: .venv/bin/pip install "
            "--constraint constraints.txt datasets (or the extra [hf])."
        )
    import datasets
    import pyarrow as pa

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    folder = expanded(text)
    try:
        if is_folder(folder):
            opened = _from_folder(folder, data_dir)
        else:
            _require_hub(text)
            names = text.split("/")
            config = "/".join(names[2:]) or None
            opened = datasets.load_dataset("/".join(names[:2]), config)
        found = opened if isinstance(opened, datasets.DatasetDict) else {"train": opened}
        for rows in found.values():
            # Of a damaged file, places outside of it would be read, which ends the process.
            rows.data.validate(full=True)
    except (
        *(OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError),
        *(datasets.exceptions.DatasetsError, pa.ArrowException),
    ) as error:
        # The library wraps what was wrong in "An error occurred while generating the dataset".
        cause = error.__cause__ or error
        said = printable(" ".join(str(cause).split())[:_MOST_SAID]) or type(cause).__name__
        raise InputError(f"{text} cannot be opened as a dataset: {said}") from error
    splits = {str(name): rows for name, rows in found.items() if len(rows)}
    if not splits:
        raise InputError(f"A dataset must have rows, but {text} has none.")
    return splits


def _from_folder(folder: Path, data_dir: Path) -> "datasets.Dataset | datasets.DatasetDict":
    import datasets

    if any((folder / name).is_file() for name in _SAVED) and not _holds_parquet(folder):
        return datasets.load_from_disk(str(folder))
    if not _holds_parquet(folder):
        raise InputError(
            f"{folder} must hold Parquet files, or what `save_to_disk` writes, but does not; a "
            "folder of images is given without `hf:`."
        )
    return datasets.load_dataset(str(folder), cache_dir=str(data_dir / "huggingface"))


def _holds_parquet(folder: Path) -> bool:
    return next(folder.rglob("*.parquet"), None) is not None


def _require_hub(text: str) -> None:
    if text.count("/") < 1 or text.startswith(("/", ".", "~")):
        raise InputError(
            f"`hf:` must be followed by a folder or by owner/name on the hub, but {shown(text)} is "
            "neither."
        )
    if not os.environ.get("HF_HUB_OFFLINE") and not is_reachable(HUB_URL):
        raise InputError(
            f"{shown(text)} is no folder, and {HUB_URL} cannot be reached: save the dataset where "
            "it can (dataset.save_to_disk) and give the folder as hf:FOLDER, or set "
            "HF_HUB_OFFLINE=1 if it was downloaded before."
        )
