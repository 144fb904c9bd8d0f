"""The directory in which a run was made: places named in its files are trusted there only.

A directory that was unpacked, copied or moved may come from somebody else, and its files may name
any server. Its path could be guessed by its maker, its inode on this machine could not.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """A directory as its file system knows it.

    Attributes:
        path: Its absolute path, without links.
        device: Number of the file system.
        inode: Number of the directory in it.
        has_begun: Whether the run began here; False where one that lay elsewhere is gone on with.
    """

    path: str
    device: int
    inode: int
    has_begun: bool

    @classmethod
    def at(cls, directory: Path, *, has_begun: bool) -> Self:
        """The home of a run whose directory this is; it must exist."""
        found = directory.stat()
        return cls(
            path=os.path.realpath(directory),
            device=found.st_dev,
            inode=found.st_ino,
            has_begun=has_begun,
        )

    def is_at(self, directory: Path) -> bool:
        """Whether that is the directory, under its old path and not a copy of it."""
        try:
            found = directory.stat()
        except OSError:
            return False
        # Not Path.resolve, which raises where links lead in a circle.
        is_same_path = self.path == os.path.realpath(directory)
        return is_same_path and (self.device, self.inode) == (found.st_dev, found.st_ino)
