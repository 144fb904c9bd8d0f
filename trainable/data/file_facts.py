"""Facts on the image files of a dataset that matter for reading them with other software."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """Counts of image files.

    Attributes:
        endings: Number of files by ending, in lower case with its dot; empty if images are not
            stored in separate files.
        num_nested: Number of files in subfolders of the folder of their class.
        num_deep: Number of decoded images that are greyscale of more than 8 bits.
        num_turned: Number of decoded images that are rotated or mirrored because of EXIF.
        is_listed: Whether a table says the classes, and not the folders in which the files lie.
    """

    endings: Mapping[str, int] = field(default_factory=dict)
    num_nested: int = 0
    num_deep: int = 0
    num_turned: int = 0
    is_listed: bool = False


def endings_of(paths: Iterable[str]) -> dict[str, int]:
    """Count the files by ending, the most frequent ones first."""
    return dict(Counter(PurePosixPath(path).suffix.lower() for path in paths).most_common())
