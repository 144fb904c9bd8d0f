"""What a result was made with: versions, commit, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Folder of this project: the code that runs, and what lies beside it."""
_LIBRARIES = ("torch", "torchvision", "timm", "ray", "optuna", "mlflow")


def made_with() -> dict[str, str]:
    """Commit, machine and versions as tags: ``commit``, ``machine``, ``version.torch``, ..."""
    found = {f"version.{name}": version for name, version in versions().items()}
    return {"commit": git_commit(), "machine": machine(), **found}


def versions() -> dict[str, str]:
    """Version of Python and of the libraries that numbers depend on, by name."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}


def git_commit() -> str:
    """Commit of this project's checkout, with ``-dirty`` after local changes; empty outside one."""
    try:
        result = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # No git, or no checkout: nothing to tell.
        return ""
    return result.stdout.strip()


def machine() -> str:
    """Processor and number of cores."""
    return f"{platform.machine()}, {os.cpu_count()} cores"
