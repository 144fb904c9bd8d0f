"""Final weights of a run in a file of their own, until they have been averaged with others'.

Every node of a cluster reaches the storage that they lie in.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pyarrow.fs import FileSystem, FileType, LocalFileSystem
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trainable.whole_file import commit


def write_weights(location: str, weights: dict[str, Tensor]) -> None:
    """Write weights so that after a crash at any moment the file is whole or not there.

    Args:
        location: Path or URI; its folder is made.
        weights: From `trainable.models.saved_model.shipped_weights`.
    """
    filesystem, path = FileSystem.from_uri(location)
    partial = f"{path}.partial"
    filesystem.create_dir(str(PurePosixPath(path).parent))
    with filesystem.open_output_stream(partial) as file:
        file.write(save(weights))
    if isinstance(filesystem, LocalFileSystem):
        commit(Path(partial), Path(path))
    else:
        filesystem.move(partial, path)


def are_there(locations: Iterable[str]) -> bool:
    """Whether the weights of `write_weights` are in each of these places."""
    found = (FileSystem.from_uri(location) for location in locations)
    return all(
        filesystem.get_file_info(path).type != FileType.NotFound for filesystem, path in found
    )


def read_weights(location: str) -> dict[str, Tensor]:
    """Read the weights of `write_weights` onto the CPU.

    Raises:
        OSError: If they cannot be read, or the file is not whole.
    """
    filesystem, path = FileSystem.from_uri(location)
    with filesystem.open_input_stream(path) as file:
        try:
            return load(file.read())
        except SafetensorError as error:
            raise OSError(f"{location} holds no weights: {error}") from error
