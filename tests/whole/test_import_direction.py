"""Packages import in one direction: spaces <- trainable <- search; no Python under mlflow/."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("spaces", "trainable", "search")
TRACKING = {"optuna", "mlflow"}
RAY_MODULE = ROOT / "trainable" / "ray_trainable.py"
MOST_MODULES_OF_SPACES = 100
"""Modules that importing all of spaces may load beyond a bare interpreter: itself and the standard
library behind dataclasses. One import of numpy alone would load more."""


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).glob("**/*.py"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that a source imports, also inside functions and conditions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def packages_imported_by(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(ast.parse(path.read_text("utf-8")))}


def forbidden_in(path: Path) -> set[str]:
    imported = packages_imported_by(path)
    package = path.relative_to(ROOT).parts[0]
    if package == "spaces":
        return imported - set(sys.stdlib_module_names) - {"spaces"}
    if package == "trainable":
        forbidden = {"search", *TRACKING} | (set() if path == RAY_MODULE else {"ray"})
        return imported & forbidden
    return set()


each_module = pytest.mark.parametrize(
    "path",
    [path for package in PACKAGES for path in modules_of(package)],
    ids=lambda path: str(path.relative_to(ROOT)),
)


@each_module
def test_a_module_imports_nothing_from_packages_above_its_own(path: Path) -> None:
    assert forbidden_in(path) == set()


@each_module
def test_no_import_is_relative(path: Path) -> None:
    # It would name no package and so slip past the test above.
    assert "" not in packages_imported_by(path)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_no_packages_inside(package: str) -> None:
    assert {path.parent for path in modules_of(package)} == {ROOT / package}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_in_one_docstring_and_exports_nothing(package: str) -> None:
    body = ast.parse((ROOT / package / "__init__.py").read_text("utf-8")).body

    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)
    assert "\n" not in body[0].value.value


def test_no_python_lies_under_mlflow() -> None:
    # With a module there, the folder would shadow the installed package of that name (PEP 420).
    assert list((ROOT / "mlflow").glob("**/*.py")) == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "helpers", "common", "manager", "misc"}

    assert not {path.stem for package in PACKAGES for path in modules_of(package)} & drawers


def test_all_of_spaces_loads_few_modules_and_no_numerical_library() -> None:
    names = [f"spaces.{path.stem}" for path in modules_of("spaces") if path.stem != "__init__"]
    program = (
        "import sys, json; bare = set(sys.modules)\n"
        f"import {', '.join(names)}\n"
        "print(json.dumps(sorted(set(sys.modules) - bare)))"
    )

    # -S: without the start-up hooks of installed packages, which load modules of their own.
    out = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    loaded = json.loads(out)

    assert set(names) <= set(loaded)
    outside = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert outside == {"spaces"}
    assert len(loaded) <= MOST_MODULES_OF_SPACES


@pytest.mark.parametrize(
    ("place", "source", "found"),
    [
        ("spaces/x.py", "import numpy as np", {"numpy"}),
        ("spaces/x.py", "def f():\n    from torch import nn", {"torch"}),
        ("spaces/x.py", "import math, trainable.ema", {"trainable"}),
        ("spaces/x.py", "import math\nfrom spaces.task import Task", set()),
        ("trainable/x.py", "import ray.tune", {"ray"}),
        ("trainable/x.py", "from search.records.trials import Trial", {"search"}),
        ("trainable/x.py", "import torch\nfrom spaces.task import Task", set()),
        ("trainable/ray_trainable.py", "from ray import tune", set()),
        ("trainable/ray_trainable.py", "import optuna", {"optuna"}),
        ("search/x.py", "import ray, optuna, mlflow, trainable.ema", set()),
    ],
)
def test_the_rule_itself_finds_what_is_forbidden(
    place: str, source: str, found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / place
    monkeypatch.setattr(Path, "read_text", lambda *_: source)

    assert forbidden_in(path) == found
