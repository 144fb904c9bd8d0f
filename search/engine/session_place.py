"""Temporary directory of a run's own Ray cluster, for sockets, logs and spilled objects.

By default Ray uses ``$TMPDIR/ray``, which everybody may write to, and puts its sockets below it.
The path of a socket is limited (107 bytes on Linux), and the TMPDIR of a job scheduler is often too
long for that.
"""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from spaces.errors import InputError

MOST_BYTES = 103 if sys.platform == "darwin" else 107
"""Largest number of bytes of a socket's path (``sun_path`` minus the zero at its end)."""
SOCKET = "/session_2026-11-24_02-00-00_000000_4194304/sockets/plasma_store"
"""Longest path of a socket relative to Ray's directory; the last number is the process id."""
SHORT = ("/tmp", "/var/tmp")
"""Directories that exist on every machine and that everybody may write to."""
_PREFIX = "ray-"
_NAME = "r"
_DELETED_WITHIN_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPlace:
    """A private directory for one cluster.

    Attributes:
        files: The directory itself.
        given: The path that Ray gets: the same directory by a path short enough for its sockets.
        made: Paths that must be deleted in the end.
    """

    files: Path
    given: Path
    made: tuple[Path, ...]

    @property
    def logs(self) -> Path:
        """Directory of Ray's logs; the directory itself if there are none yet."""
        found = sorted(self.files.glob("session_[0-9]*"))
        return found[-1] / "logs" if found else self.files

    def delete(self) -> None:
        """Delete everything, repeatedly while Ray's ending processes still write files."""
        deadline = time.monotonic() + _DELETED_WITHIN_S
        while any(path.exists() for path in self.made) and time.monotonic() < deadline:
            for path in self.made:
                shutil.rmtree(path, ignore_errors=True)
            time.sleep(0.05)

    def delete_all_but_files(self) -> None:
        """Delete the link by the short path, if there is one, and keep the files."""
        for path in self.made:
            if path not in self.files.parents:
                shutil.rmtree(path, ignore_errors=True)


def make_session_place(short: tuple[str, ...] = SHORT) -> SessionPlace:
    """Make a private directory below that for temporary files, with a link if its path is too long.

    The link is in one of ``short``, so that large files stay where the user, or the job scheduler,
    wants them.

    Raises:
        InputError: If no link can be made in any of ``short``; nothing is left behind then.
    """
    base = _base()
    try:
        base.mkdir(parents=True, exist_ok=True)
        # Ray makes its directories writable for everybody; the one around them is private.
        private = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        files = private / _NAME
        files.mkdir()
    except OSError as error:
        raise InputError(
            f"Ray needs a directory for temporary files, but nothing can be made in {base} "
            f"({error.strerror}): set TMPDIR or RAY_TMPDIR to one that can be written to."
        ) from error
    if has_room(files):
        return SessionPlace(files=files, given=files, made=(private,))
    for other in short:
        try:
            link = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=other)) / _NAME
        except OSError:
            continue
        if has_room(link):
            link.symlink_to(files, target_is_directory=True)
            return SessionPlace(files=files, given=link, made=(private, link.parent))
        link.parent.rmdir()
    shutil.rmtree(private)
    room = MOST_BYTES - len(f"/{_PREFIX}12345678/{_NAME}{SOCKET}")
    raise InputError(
        f"Ray's sockets need a directory that can be written to, with a path of at most {room} "
        f"bytes, but {base} has {len(os.fsencode(base))} and nothing can be made in "
        f"{' or '.join(short)}: set RAY_TMPDIR to a short one."
    )


def require_session_place() -> None:
    """Raise, before anything is started, if there is no place for Ray's sockets.

    Raises:
        InputError: If there is none; the message names the setting that helps.
    """
    make_session_place().delete()


def has_room(given: Path) -> bool:
    """Whether the paths of the sockets below a directory are short enough for the system."""
    return len(os.fsencode(f"{given}{SOCKET}")) <= MOST_BYTES


def _base() -> Path:
    """Return the directory of Ray's own setting, else that for temporary files."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
