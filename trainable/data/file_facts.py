"""What the files of a dataset are like, for whoever reads them with other software."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """Counts of image files.

    Attributes:
        endings: Files by the ending of their name, in lower case with its dot; empty for images
            that are no files of their own.
        num_nested: Files that do not lie in the folder of their class but below it.
        num_deep: Those among the decoded ones that are greyscale of more than 8 bits.
        num_turned: Those among the decoded ones that EXIF says to turn or mirror.
    """

    endings: Mapping[str, int] = field(default_factory=dict)
    num_nested: int = 0
    num_deep: int = 0
    num_turned: int = 0


def endings_of(paths: Iterable[str]) -> dict[str, int]:
    """Count the files by their endings, the most frequent ones first."""
    return dict(Counter(PurePosixPath(path).suffix.lower() for path in paths).most_common())
