"""Where Ray keeps what a run's own cluster needs while it lives: sockets, logs, spilled objects.

Ray takes ``$TMPDIR/ray``, which everybody may write to, and puts its sockets below it. The path of
a socket has little room (107 bytes on Linux), which the TMPDIR of a job scheduler often takes up.
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
"""Bytes that the path of a socket may have (``sun_path`` less the zero at its end)."""
SOCKET = "/session_2026-11-24_02-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket below what Ray is given; the last number is that of the process."""
SHORT = ("/tmp", "/var/tmp")
"""Directories that are there on every machine and that everybody may write to."""
_PREFIX = "ray-"
_NAME = "r"
_DELETED_WITHIN_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPlace:
    """A directory of this user's own for one cluster.

    Attributes:
        files: Where everything lies.
        given: What Ray is told: the same directory by a path that has room for its sockets.
        made: What must be deleted in the end.
    """

    files: Path
    given: Path
    made: tuple[Path, ...]

    @property
    def logs(self) -> Path:
        """Where Ray's processes log, or where they would."""
        found = sorted(self.files.glob("session_[0-9]*"))
        return found[-1] / "logs" if found else self.files

    def delete(self) -> None:
        """Delete everything, whatever Ray's processes, told to end, still write."""
        deadline = time.monotonic() + _DELETED_WITHIN_S
        while any(path.exists() for path in self.made) and time.monotonic() < deadline:
            for path in self.made:
                shutil.rmtree(path, ignore_errors=True)
            time.sleep(0.05)

    def delete_all_but_files(self) -> None:
        """Delete the short path, if there is one, and keep what lies behind it."""
        for path in self.made:
            if path not in self.files.parents:
                shutil.rmtree(path, ignore_errors=True)


def make_session_place(short: tuple[str, ...] = SHORT) -> SessionPlace:
    """Make the directory where temporary files of this process go, be its path short or long.

    A long one is reached by a link in one of ``short``: what is large stays where the user, or the
    job scheduler, wants it.

    Raises:
        InputError: If none of ``short`` can hold the link; nothing is left then.
    """
    base = _base()
    try:
        base.mkdir(parents=True, exist_ok=True)
        # Ray opens what it makes to everybody; the directory around it stays closed.
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
    """Refuse a machine where Ray's sockets can be nowhere, before anything is started.

    Raises:
        InputError: If there is no place for them; it says what to set.
    """
    make_session_place().delete()


def has_room(given: Path) -> bool:
    """Whether the sockets below what Ray is told have a path that the system takes."""
    return len(os.fsencode(f"{given}{SOCKET}")) <= MOST_BYTES


def _base() -> Path:
    """Ray's own setting, else where temporary files go."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
