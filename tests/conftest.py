"""Fixtures and settings that several test files share."""

from pathlib import Path

import pytest

from tests.support.small_search import SMALL, command, finish


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """One small search from the command line: run directory, store, and what it printed."""
    home = tmp_path_factory.mktemp("whole")
    uri = f"sqlite:///{home}/mlflow.db"
    arguments = ["run", *SMALL, "--run-dir", str(home), "--run-name", "whole"]
    output = finish(command([*arguments, "--tracking-uri", uri]))
    return home / "whole", uri, output
