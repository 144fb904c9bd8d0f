"""Final weights of a run in a file of their own, until they have been averaged with others'.

Every node of a cluster reaches the storage that they lie in.
"""

from pathlib import Path, PurePosixPath

from pyarrow.fs import FileSystem, FileType, LocalFileSystem
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


def read_weights(location: str) -> dict[str, Tensor] | None:
    """Read the weights of `write_weights` onto the CPU; None if they are not there."""
    filesystem, path = FileSystem.from_uri(location)
    if filesystem.get_file_info(path).type == FileType.NotFound:
        return None
    with filesystem.open_input_stream(path) as file:
        return load(file.read())
