"""Provenance of a result: versions, commit, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Root folder of this project."""
_LIBRARIES = (
    *("torch", "torchvision", "timm", "ray", "optuna", "mlflow"),
    # A new version of these changes numbers: decoded pixels, and steps of an optimizer.
    *("pillow", "schedulefree"),
)


def made_with() -> dict[str, str]:
    """Return commit, machine and versions as tags: ``commit``, ``machine``, ``version.torch``."""
    found = {f"version.{name}": version for name, version in versions().items()}
    return {"commit": git_commit(), "machine": machine(), **found}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on, by name."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}


def git_commit() -> str:
    """Return the checkout's commit, with ``-dirty`` after local changes; empty outside of one."""
    try:
        result = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # There is no git, or no checkout.
        return ""
    return result.stdout.strip()


def machine() -> str:
    """Describe the machine: processor architecture and number of cores."""
    return f"{platform.machine()}, {os.cpu_count()} cores"
