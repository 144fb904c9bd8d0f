"""Atomic replacement of files, safe against crashes and power failures."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO, Any

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems without locks: Lustre without ``-o flock``, some of NFS."""


class NoLocksError(OSError):
    """The file system of a file has no locks."""


def lock(file: IO[Any], *, waits: bool) -> None:
    """Lock an open file for this process, until it is closed.

    Args:
        file: The file.
        waits: Whether to wait for another process that holds it.

    Raises:
        BlockingIOError: If another process holds it and this one does not wait.
        NoLocksError: If its file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise NoLocksError(error.errno, error.strerror) from error


def commit(partial: Path, final: Path) -> None:
    """Rename a written file to its final name atomically, replacing an old one.

    Args:
        partial: The written and closed file, in the same folder.
        final: Its name; a file of that name is replaced.
    """
    sync(partial)
    partial.replace(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk, so that they survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
