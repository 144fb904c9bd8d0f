"""Access to the storage of checkpoints: a directory, or a URI that pyarrow opens."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from pyarrow.fs import FileSystem, FileType, LocalFileSystem, copy_files

from spaces.errors import InputError

_CHUNK_BYTES = 64 * 2**20
"""Bytes of a checkpoint that are read at once, as in Ray; many small requests are slow."""


def below(storage: str, *names: str) -> str:
    """Append folders to a path or URI; the query of a URI is kept.

    Args:
        storage: Absolute path, or URI as ``s3://bucket/runs?region=eu-west-1``.
        names: Names of folders, from the outer to the inner one.
    """
    if "://" not in storage:
        return str(PurePosixPath(storage, *names))
    parts = urlsplit(storage)
    path = "/".join([parts.path.rstrip("/"), *(quote(name) for name in names)])
    return parts._replace(path=path).geturl()


def location_of(storage: str, storage_path: str, path: str) -> str:
    """Convert a path on an opened file system into a path or URI that is valid on all machines.

    Args:
        storage: Path or URI that was opened.
        storage_path: Its path on the file system that pyarrow opened.
        path: Path below ``storage_path``.
    """
    return below(storage, *PurePosixPath(path).relative_to(storage_path).parts)


def is_below(storage: str, location: str) -> bool:
    """Whether an untrusted location lies inside a storage, links and ``..`` resolved or refused."""
    if "://" not in storage:
        real = Path(os.path.realpath(storage))
        return "://" not in location and Path(os.path.realpath(location)).is_relative_to(real)
    inside, outside = urlsplit(location), urlsplit(storage)
    if (inside.scheme, inside.netloc, inside.query) != (
        *(outside.scheme, outside.netloc, outside.query),
    ):
        return False
    path = PurePosixPath(unquote(inside.path))
    return path.is_relative_to(unquote(outside.path)) and ".." not in path.parts


def parent_of(location: str) -> str:
    """Return the parent folder of a path or URI; the query of a URI is kept."""
    if "://" not in location:
        return str(PurePosixPath(location).parent)
    parts = urlsplit(location)
    return parts._replace(path=str(PurePosixPath(parts.path).parent)).geturl()


@contextmanager
def local_checkpoint(location: str) -> Iterator[Path]:
    """Give the folder of a checkpoint within the context, copied to this machine if it is remote.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    filesystem, path = FileSystem.from_uri(location)
    if filesystem.get_file_info(path).type == FileType.NotFound:
        raise FileNotFoundError(f"There is no checkpoint in {location}.")
    if isinstance(filesystem, LocalFileSystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as copy:
        copy_files(path, copy, source_filesystem=filesystem, chunk_size=_CHUNK_BYTES)
        yield Path(copy)


def lent_weights(storage: str, trial_id: str = "") -> str:
    """Return the path or URI of the weights that a trial lends to a soup.

    Args:
        storage: Path or URI of the trials' checkpoints.
        trial_id: Name of the trial; empty for the folder of all.
    """
    names = (f"{trial_id}.safetensors",) if trial_id else ()
    return below(storage, "weights", *names)


def delete_file(location: str) -> None:
    """Delete a file of a storage if it exists."""
    filesystem, path = FileSystem.from_uri(location)
    if filesystem.get_file_info(path).type == FileType.File:
        filesystem.delete_file(path)


def delete_folder(location: str) -> None:
    """Delete a folder of a storage if it exists."""
    filesystem, path = FileSystem.from_uri(location)
    if filesystem.get_file_info(path).type == FileType.Directory:
        filesystem.delete_dir(path)


def write_probe(storage: str) -> str:
    """Write a small file into a storage, to check that trials can.

    Returns:
        Name of the file, for `read_probe` and `delete_probe`.

    Raises:
        InputError: If nothing can be written there.
    """
    if urlsplit(storage).password is not None:
        raise InputError(
            "`storage` must hold no password, for it is kept in config.json; give it in the "
            "environment of driver and nodes, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    name = f".probe-{uuid.uuid4().hex}"
    try:
        filesystem, path = FileSystem.from_uri(storage)
        filesystem.create_dir(path)
        with filesystem.open_output_stream(f"{path}/{name}") as file:
            file.write(name.encode())
    # Arrow's errors of all kinds of storage are subclasses of these two.
    except (OSError, ValueError) as error:
        raise InputError(
            f"`storage` must be writable, but {storage} is not: {first_line(error)}"
        ) from error
    return name


def read_probe(storage: str, name: str) -> str:
    """Check that a storage can be read and written: read a probe and write another file.

    Returns:
        The error's first line, or an empty string.
    """
    try:
        filesystem, path = FileSystem.from_uri(storage)
        with filesystem.open_input_stream(f"{path}/{name}") as file:
            file.read()
        mine = f"{path}/{name}-{uuid.uuid4().hex}"
        with filesystem.open_output_stream(mine):
            pass
        filesystem.delete_file(mine)
    except (OSError, ValueError) as error:
        return first_line(error)
    return ""


def delete_probe(storage: str, name: str) -> None:
    """Delete the file that `write_probe` wrote."""
    filesystem, path = FileSystem.from_uri(storage)
    filesystem.delete_file(f"{path}/{name}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without the stack that libraries append."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
