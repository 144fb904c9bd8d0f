"""What several test files share, and how the tests are dealt out to the processes that run them."""

import fcntl
import gc
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_search import SMALL, command, finish

LONGEST = (
    *("test_end_to_end", "test_cluster", "test_guide", "test_tracking_server", "test_cluster_s3"),
    *("test_browser", "test_workers", "test_crashes", "test_compare", "test_degraded", "test_ui"),
)
"""Files in which searches and servers are waited for, longest first.

The browser looks at the search that the first of them runs, and comes when that is over.
"""

# As many threads as cores in each of several processes, and what they start, wait for one another
# by spinning, which takes more time than they save. Numerical libraries read it when imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray gives its workers the least priority; beside other tests a search would wait for minutes.
os.environ.setdefault("RAY_worker_niceness", "0")
# Clusters that tests start would start a worker for each core, which Tune never uses.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
# Imports make millions of objects that stay: looking through them for garbage frees nothing.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that at the end nobody waits for it.

    `--dist loadfile` of pytest-xdist gives whole files to a process, so that a file's fixtures are
    made once. After `LONGEST` and the other files of ``whole`` come folders from verdict_tests,
    which simulates, to augment_tests, which is quick.
    """
    items.sort(key=lambda item: item.path.parent.name, reverse=True)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.path.stem in LONGEST and "slow" in {mark.name for mark in item.iter_markers()}:
        return LONGEST.index(item.path.stem)
    return len(LONGEST) + (item.path.parent.name != "whole")


def pytest_collection_finish() -> None:
    """Prepare what the test files have imported; it is all there by now."""
    if "torch" in sys.modules:
        # Several processes with two threads each are too many for two cores.
        sys.modules["torch"].set_num_threads(1)
    if "mlflow" in sys.modules:
        _copy_mlflow_tables()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let Python find at its end what was kept from the search for garbage."""
    gc.unfreeze()


def _copy_mlflow_tables() -> None:
    """Have MLflow run its fifty migrations for the first file, and copy that for others.

    They take a second, for dozens of tests that have a store of their own. Searches that tests
    start as processes make theirs themselves.
    """
    from mlflow.store.db import utils

    migrate: Callable[[Any], None] = utils._initialize_tables
    first = b""

    def copied(engine: Any) -> None:
        nonlocal first
        database = engine.url.database
        if engine.dialect.name != "sqlite" or not database or database == ":memory:":
            migrate(engine)
            return
        with closing(sqlite3.connect(database)) as made:
            if first:
                with closing(sqlite3.connect(":memory:")) as source:
                    source.deserialize(first)
                    source.backup(made)
            else:
                migrate(engine)
                first = made.serialize()

    utils._initialize_tables = copied


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """One small search from the command line: run directory, store, and what it printed.

    Processes of pytest-xdist share it: the first that needs it runs it, others wait for that.
    """
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # Each has a folder of its own in that of the session.
        home = home.parent
    uri = f"sqlite:///{home}/whole.db"
    printed = home / "whole.txt"
    with (home / "whole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            arguments = ["run", *SMALL, "--run-dir", str(home), "--run-name", "whole"]
            printed.write_text(finish(command([*arguments, "--tracking-uri", uri])))
    return home / "whole", uri, printed.read_text()
