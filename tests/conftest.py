"""What several test files share, and how the tests are dealt out to the processes that run them."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from tests.support.small_search import SMALL, command, finish


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest.

    `--dist loadfile` of pytest-xdist gives whole files to a process, so that a file's fixtures are
    made once. Searches and servers come first, so that at the end nobody waits for one of them;
    then folders from verdict_tests, which simulates, to augment_tests, which is quick.
    """
    items.sort(key=lambda item: (_is_long(item), item.path.parent.name), reverse=True)


def _is_long(item: pytest.Item) -> bool:
    return item.path.parent.name == "whole" or item.get_closest_marker("slow") is not None


def pytest_collection_finish() -> None:
    """Have torch use one thread: two processes with two each are too many for two cores."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


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
