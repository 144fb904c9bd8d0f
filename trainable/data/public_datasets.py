"""Reading of public datasets from their files, with download if possible.

Everything except the digits is read by torchvision. It also downloads, but only after a server has
answered and never without a timeout; otherwise the error names the files and where to put them.
"""

import gzip
import http.client
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.file_facts import FileFacts, endings_of
from trainable.data.image_sources import TEST, TRAIN, VAL, ArraySource, Collection, FileSource
from trainable.network import is_reachable

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Directory of the files of the Debian package ``dataset-fashion-mnist``."""
_STALL_TIMEOUT_S = 20.0


def digits(data_dir: Path) -> Collection:
    """scikit-learn's 1797 handwritten digits of 8x8 pixels; they come with its package."""
    # Late, because its import takes a second that no other dataset needs.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    names = tuple(str(name) for name in bunch.target_names)
    return Collection(
        source=ArraySource(pixels), labels=bunch.target.astype(np.int64), class_names=names
    )


def fashion_mnist(data_dir: Path) -> Collection:
    """60,000 + 10,000 grey clothes of 28x28 pixels (Xiao et al. 2017, arXiv 1708.07747)."""
    from torchvision.datasets import FashionMNIST

    raw = data_dir / "FashionMNIST" / "raw"
    stems = [Path(name).stem for name, _ in FashionMNIST.resources]
    folders = [f for f in (DEBIAN_FASHION_MNIST, raw) if all(_idx_file(f, s) for s in stems)]
    if not folders:
        archives = [raw / name for name, _ in FashionMNIST.resources]
        url = FashionMNIST.mirrors[0]
        _torchvision("fashion-mnist", FashionMNIST, data_dir, archives, url, {"train": True})
        folders = [raw]
    images, labels, test_images, test_labels = (_read_idx(folders[0], stem) for stem in stems)
    return _of_arrays(
        (images, labels), (test_images, test_labels), class_names=tuple(FashionMNIST.classes)
    )


def cifar10(data_dir: Path) -> Collection:
    """50,000 + 10,000 images of 32x32 pixels, 10 classes (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR10

    return _cifar("cifar10", CIFAR10, data_dir)


def cifar100(data_dir: Path) -> Collection:
    """50,000 + 10,000 images of 32x32 pixels, 100 classes (Krizhevsky 2009)."""
    from torchvision.datasets import CIFAR100

    return _cifar("cifar100", CIFAR100, data_dir)


def stl10(data_dir: Path) -> Collection:
    """5,000 + 8,000 images of 96x96 pixels, 10 classes (Coates et al. 2011)."""
    from torchvision.datasets import STL10

    archives = [data_dir / STL10.filename]
    train, test = (
        _torchvision("stl10", STL10, data_dir, archives, STL10.url, {"split": split})
        for split in ("train", "test")
    )
    return _of_arrays(
        *((part.data.transpose(0, 2, 3, 1), part.labels) for part in (train, test)),
        class_names=tuple(train.classes),
    )


def flowers102(data_dir: Path) -> Collection:
    """1,020 + 1,020 + 6,149 photographs, 102 classes (Nilsback and Zisserman 2008)."""
    from torchvision.datasets import Flowers102

    folder = data_dir / "flowers-102"
    archives = [folder / name for name, _ in Flowers102._file_dict.values()]
    url = Flowers102._download_url_prefix
    parts = {
        part: _torchvision("flowers102", Flowers102, data_dir, archives, url, {"split": name})
        for part, name in ((TRAIN, "train"), (VAL, "val"), (TEST, "test"))
    }
    files = {part: (data._image_files, data._labels) for part, data in parts.items()}
    return _of_files(folder, files, class_names=tuple(Flowers102.classes))


def oxford_pets(data_dir: Path) -> Collection:
    """3,680 + 3,669 photographs of 37 breeds of cats and dogs (Parkhi et al. 2012)."""
    from torchvision.datasets import OxfordIIITPet

    folder = data_dir / "oxford-iiit-pet"
    archives = [folder / Path(url).name for url, _ in OxfordIIITPet._RESOURCES]
    url = OxfordIIITPet._RESOURCES[0][0]
    parts = {
        part: _torchvision("oxford-pets", OxfordIIITPet, data_dir, archives, url, {"split": name})
        for part, name in ((TRAIN, "trainval"), (TEST, "test"))
    }
    files = {part: (data._images, data._labels) for part, data in parts.items()}
    return _of_files(folder, files, class_names=tuple(parts[TRAIN].classes))


def _cifar(name: str, kind: Any, data_dir: Path) -> Collection:
    archives = [data_dir / kind.filename]
    train, test = (
        _torchvision(name, kind, data_dir, archives, kind.url, {"train": is_train})
        for is_train in (True, False)
    )
    return _of_arrays(
        (train.data, train.targets), (test.data, test.targets), class_names=tuple(train.classes)
    )


def _torchvision(
    name: str,
    kind: Callable[..., Any],
    data_dir: Path,
    archives: list[Path],
    url: str,
    arguments: dict[str, Any],
) -> Any:
    """Open one part of a torchvision dataset; unpack or download it first if need be.

    Raises:
        InputError: If it is neither on this machine nor can be downloaded.
    """
    try:
        return kind(data_dir, **arguments)
    except RuntimeError:
        pass  # torchvision's way to say that the files are not there, or not unpacked yet.
    files = ", ".join(path.name for path in archives)
    ways_out = f"Put {files} into {archives[0].parent}; one source is {url}."
    if not all(path.is_file() for path in archives) and not is_reachable(url):
        raise InputError(f"`{name}` is not in {data_dir} and cannot be downloaded. {ways_out}")
    patience = socket.getdefaulttimeout()
    # torchvision passes no timeout to urllib, which then waits for a silent server for ever.
    socket.setdefaulttimeout(_STALL_TIMEOUT_S)
    try:
        return kind(data_dir, download=True, **arguments)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(f"`{name}` cannot be had ({error}). {ways_out}") from error
    finally:
        socket.setdefaulttimeout(patience)


def _idx_file(folder: Path, stem: str) -> Path | None:
    """Find the file, unpacked as torchvision stores it or as it is distributed (``.gz``)."""
    candidates = (folder / stem, folder / f"{stem}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _read_idx(folder: Path, stem: str) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: magic number ``0 0 8 dimensions``, sizes, then the values.

    Raises:
        InputError: If it is something else, or cut short.
    """
    path = _idx_file(folder, stem)
    assert path is not None
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        if content[:3] != b"\0\0\x08":
            raise ValueError(f"it starts with {content[:4]!r}")
        dimensions = content[3]
        shape = np.frombuffer(content, ">i4", dimensions, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} must be a whole IDX file of bytes, but {error}.") from error


def _of_arrays(
    train: tuple[Any, Any], test: tuple[Any, Any], *, class_names: tuple[str, ...]
) -> Collection:
    """Combine two parts of pixels and labels into one collection."""
    parts = np.repeat(np.array([TRAIN, TEST], np.int8), [len(train[1]), len(test[1])])
    return Collection(
        source=ArraySource(np.concatenate([train[0], test[0]])),
        labels=np.concatenate([train[1], test[1]]).astype(np.int64),
        class_names=class_names,
        parts=parts,
    )


def _of_files(
    root: Path, files: dict[int, tuple[list[Path], list[int]]], *, class_names: tuple[str, ...]
) -> Collection:
    """Combine parts of image files and labels into one collection."""
    paths = [Path(p).relative_to(root).as_posix() for names, _ in files.values() for p in names]
    labels = [label for _, numbers in files.values() for label in numbers]
    sizes = [len(numbers) for _, numbers in files.values()]
    return Collection(
        source=FileSource(root, paths),
        labels=np.array(labels, np.int64),
        class_names=class_names,
        parts=np.repeat(np.array(list(files), np.int8), sizes),
        files=FileFacts(endings=endings_of(paths)),
    )
