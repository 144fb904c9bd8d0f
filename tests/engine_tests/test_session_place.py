"""Ray's files: in a directory of the user's own, behind a path that has room for sockets."""

import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.commands import pipeline
from search.engine import run as tune_run
from search.engine.session_place import (
    MOST_BYTES,
    SOCKET,
    SessionPlace,
    has_room,
    make_session_place,
    require_session_place,
)
from spaces.errors import InputError
from tests.support import finished_run

DEEP = "net/home/long-project-name/slurm_jobdir/1355700/tmp.node0016/scratch"
"""Below a temporary directory, as a job scheduler sets it."""


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short directory that stands for `/tmp`; pytest's own are long."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    made = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def use_as_tmpdir(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # It is asked for once.


def require_private(place: SessionPlace) -> None:
    for path in place.made:
        assert path.stat().st_uid == os.getuid()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert place.given.parent in place.made


@pytest.mark.parametrize("setting", ["TMPDIR", "RAY_TMPDIR"])
def test_a_short_directory_is_used_as_it_is(
    setting: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting == "RAY_TMPDIR":
        use_as_tmpdir(base / "other", monkeypatch)
        monkeypatch.setenv("RAY_TMPDIR", str(base))
    else:
        use_as_tmpdir(base, monkeypatch)
    place = make_session_place(short=())
    assert place.files == place.given
    assert place.files.parent.parent == base
    require_private(place)
    place.delete()
    assert not any(path.exists() for path in place.made)


def test_a_long_one_is_reached_by_a_short_path_and_keeps_what_is_large(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_as_tmpdir(base / DEEP, monkeypatch)
    place = make_session_place(short=("/nowhere", str(base)))
    assert place.files.parent.parent == base / DEEP
    assert place.given.samefile(place.files)
    require_private(place)
    # The length that is counted with is one that the system takes, and it takes no longer one.
    path = Path(f"{place.given}{SOCKET}")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
    place.delete()
    assert list((base / DEEP).iterdir()) == []
    assert [p.name for p in base.iterdir()] == ["net"]


def test_logs_that_are_kept_are_named_where_they_lie(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_as_tmpdir(base / DEEP, monkeypatch)
    place = make_session_place(short=(str(base),))
    logs = place.given / "session_2026-11-24_02-00-00_000000_7" / "logs"
    logs.mkdir(parents=True)
    (place.given / "session_latest").symlink_to(logs.parent)
    place.delete_all_but_files()
    assert place.logs.is_dir()
    assert place.logs.is_relative_to(base / DEEP)
    assert [p.name for p in base.iterdir()] == ["net"]


def test_two_runs_at_once_do_not_share_a_place(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_as_tmpdir(base, monkeypatch)
    first, second = make_session_place(), make_session_place()
    assert not set(first.made) & set(second.made)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of Linux")
def test_the_limit_is_that_of_the_system(base: Path) -> None:
    for length, fits in ((MOST_BYTES, True), (MOST_BYTES + 1, False)):
        path = base / ("x" * (length - len(str(base)) - 1))
        with socket.socket(socket.AF_UNIX) as listening:
            if fits:
                listening.bind(str(path))
            else:
                with pytest.raises(OSError, match="too long"):
                    listening.bind(str(path))
    # Bytes count, not letters.
    letters = MOST_BYTES - len(SOCKET) - 1
    assert has_room(Path("/" + "x" * letters))
    assert not has_room(Path("/" + "é" * letters))


def test_what_to_set_is_said_before_anything_is_started_or_written(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_as_tmpdir(base / DEEP, monkeypatch)
    with pytest.raises(InputError, match=r"sockets need .* at most 28 bytes.*set RAY_TMPDIR"):
        make_session_place(short=("/nowhere",))
    assert list((base / DEEP).iterdir()) == []
    monkeypatch.setenv("RAY_TMPDIR", str(base / "file" / "x"))
    (base / "file").write_text("")
    for start in (
        require_session_place,
        lambda: pipeline._reach(finished_run.a_config(base / "runs")),
    ):
        with pytest.raises(InputError, match="set TMPDIR or RAY_TMPDIR to one that can be"):
            start()
    assert not (base / "runs").exists()


@pytest.mark.slow
def test_ray_starts_where_temporary_files_have_a_long_path(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_as_tmpdir(base / DEEP, monkeypatch)
    monkeypatch.delenv("RAY_prestart_worker_first_driver", raising=False)  # Set for all tests.
    resources = tune_run.Resources(
        cpus_per_trial=1, gpus_per_trial=0, ray_address=None, storage=str(base)
    )
    try:
        assert tune_run.start_ray(resources) >= 1
        (place,) = tune_run._sessions
        sockets = {path.name for path in (place.given).glob("session_2*/sockets/*")}
        assert {"plasma_store", "raylet"} <= sockets
        (longest,) = place.given.glob("session_2*/sockets/plasma_store")
        assert len(str(longest)) <= len(f"{place.given}{SOCKET}")
        assert place.logs.is_dir()
        # No worker is started ahead, for Tune's would be others.
        assert not list(place.logs.glob("*core-worker*"))
        # Other programs of this user would join a cluster that stands where Ray looks first.
        assert place.given.parent.name != "ray"
    finally:
        tune_run.stop_ray()
    assert not any(path.exists() for path in place.made)
