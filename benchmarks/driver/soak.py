"""Searches back to back in one process: whether anything of them is left behind.

    python -m benchmarks.driver.soak --minutes 60

Each search is the main job from the command line (planner, a Ray of its own, MLflow store, report,
verdict), with trials that train nothing, so that in an hour as many searches begin and end as in
weeks of use. After each one everything that a search might forget is counted. Temporary files go
to a directory of this program's own, and processes are known by a mark in their environment, so
other work on the machine does not count.
"""

import argparse
import contextlib
import gc
import io
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from unittest import mock

MARK = "SOAK_MARK"
"""Environment variable that all that a search starts inherits."""
_SETTLE_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """Resources that are in use after a search.

    Attributes:
        processes: Other processes with our mark.
        handles: Open files and sockets of this process.
        threads: Threads of this process.
        memory_mb: Resident memory of this process.
        shared: Names in ``/dev/shm`` that were not there at the start.
        temporary_files: Files and sockets under the temporary directory.
        temporary_mb: Their size.
    """

    processes: int
    handles: int
    threads: int
    memory_mb: float
    shared: int
    temporary_files: int
    temporary_mb: float


def look(mark: str, temporary: Path, shared_before: set[Path]) -> Left:
    """Count everything."""
    gc.collect()
    files = [path for path in temporary.rglob("*") if not path.is_dir() and not path.is_symlink()]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Left(
        processes=len(_marked(mark)),
        handles=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        memory_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        shared=len(set(Path("/dev/shm").iterdir()) - shared_before),
        temporary_files=len(files),
        temporary_mb=sum(path.stat().st_size for path in files) / 1e6,
    )


def _marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def search_once(number: int, run_dir: Path) -> int:
    """One search from its beginning to its verdict; returns its exit code.

    On a machine that is busy with other work Ray gives up its own start after 30 seconds, which is
    told; it must leave no more behind than a search that ends well, but for Ray's logs.
    """
    from benchmarks.driver.toy_trainable import ToyTrainable
    from search import cli
    from search.engine import run as tune_run

    arguments = ["run", "--dataset", "small-transfer", "--epochs", "4", "--num-samples", "8"]
    arguments += ["--amp-dtype", "none", "--max-blocks", "2", "--confirm-seeds", "2"]
    arguments += ["--run-dir", str(run_dir), "--run-name", f"soak-{number}"]
    arguments += ["--tracking-uri", f"sqlite:///{run_dir}/mlflow.db"]
    with (
        mock.patch.object(tune_run, "RecipeTrainable", ToyTrainable),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return cli.main(arguments)


def grew(after: Sequence[Left]) -> list[str]:
    """List the resources that grew from the second to the last search; the first warms up."""
    first, last = after[1], after[-1]
    searches = len(after) - 2
    found = []
    for name in ("processes", "handles", "threads", "shared", "temporary_files"):
        more = getattr(last, name) - getattr(first, name)
        if more > 0:
            found.append(f"{name}: {more} more after {searches} more searches")
    per_search = (last.memory_mb - first.memory_mb) / max(1, searches)
    found.append(f"memory: {per_search:+.2f} MB a search")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Searches back to back; what they leave behind.")
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    # Short: sockets of Ray lie below, and a socket's path has 107 characters at most.
    home = Path(tempfile.mkdtemp(prefix="soak", dir="/tmp"))
    temporary, run_dir = home / "t", home / "runs"
    temporary.mkdir()
    mark = uuid.uuid4().hex
    os.environ |= {"TMPDIR": str(temporary), "RAY_TMPDIR": str(temporary), MARK: mark}
    tempfile.tempdir = None  # It was asked for before.
    shared = set(Path("/dev/shm").iterdir())
    ends_at = time.monotonic() + 60.0 * given.minutes
    after: list[Left] = []
    print("search  code  seconds  " + "  ".join(field.name for field in fields(Left)), flush=True)
    try:
        while time.monotonic() < ends_at or len(after) < 3:
            started = time.monotonic()
            code = search_once(len(after), run_dir)
            seconds = time.monotonic() - started
            shutil.rmtree(run_dir / f"soak-{len(after)}")
            time.sleep(_SETTLE_S)
            after.append(look(mark, temporary, shared))
            counts = (f"{value:.1f}" for value in astuple(after[-1]))
            print(f"{len(after)}  {code}  {seconds:.0f}  " + "  ".join(counts), flush=True)
    finally:
        names = sorted(str(p.relative_to(temporary)) for p in temporary.rglob("*"))
        print("\n".join(["left in the temporary directory:", *names[:40]]), file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
    print("\n".join(grew(after)))


if __name__ == "__main__":
    main()
