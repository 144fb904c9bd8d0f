"""The rule book of the packages: who may import whom, which library lives where, how big a folder.

docs/architecture.md says the same in words. `MAY_IMPORT` is read from top to bottom: every package
imports from packages above its own line only.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

import pytest

from search.records.provenance import ROOT

OURS = ("spaces", "trainable", "search", "tests", "benchmarks")
SHIPPED = ("spaces", "trainable", "search")

MAY_IMPORT: Mapping[str, Sequence[str]] = {
    "spaces": (),
    "trainable": ("spaces",),
    # What a worker is sent of a trial, and how files are written; neither loads torch.
    "search.records": ("spaces", "trainable.run_spec", "trainable.whole_file"),
    # The one thing that statistics need to know of a record is what its metrics mean.
    "search.verdict": ("spaces", "search.records.metrics"),
    "search.recipes": ("spaces", "trainable", "search.records"),
    "search.engine": ("spaces", "trainable", "search.records"),
    "search.plan": (
        *("spaces", "trainable", "search.records", "search.verdict", "search.recipes"),
        "search.engine.cluster",
    ),
    "search.stages": (
        *("spaces", "search.records", "search.verdict", "search.engine.conductor"),
        "search.plan",
    ),
    "search.report": (
        *("spaces", "search.records", "search.verdict", "search.recipes", "search.plan"),
        "search.stages",
    ),
    "search.tracking": (
        *("spaces", "trainable", "search.records", "search.verdict", "search.engine.storage"),
        *("search.plan", "search.stages"),
    ),
    "search.commands": (
        *("spaces", "trainable", "search.records", "search.verdict", "search.recipes"),
        *("search.engine", "search.plan", "search.stages", "search.report", "search.tracking"),
    ),
    "search.api": (
        *("spaces", "trainable", "search.records", "search.verdict", "search.recipes"),
        *("search.engine", "search.plan", "search.stages", "search.report", "search.tracking"),
        "search.commands",
    ),
    "search": (
        *("spaces", "search.records", "search.engine", "search.plan", "search.tracking"),
        *("search.commands", "search.api"),
    ),
    "benchmarks": SHIPPED,
    "tests": (*SHIPPED, "benchmarks"),
}
"""Allowed imports by package, which may always import itself; ``search`` is its own modules."""

ONLY_WHEN_CALLED = {"search": ("search.engine", "search.tracking", "search.api")}
"""Imported inside functions only, so that ``--help`` answers without Ray, torch and MLflow."""
EVERYTHING_ABOVE = ("search.commands", "search.api")
"""Packages that may import all packages above their own line."""

STARTS_WITH = ("search.commands.pipeline", "trainable.ray_trainable")
"""Modules with which a run and each of its workers start."""
SLOW_TO_LOAD = ("sklearn", "pydoe", "matplotlib")
"""Libraries that are imported where they are used; they took a quarter of a run's time to start."""

LIVES_IN: Mapping[str, Sequence[str]] = {
    "ray": ("trainable.ray_trainable", "search.engine"),
    "optuna": ("search.stages",),
    "mlflow": ("search.tracking",),
    "pydoe": ("search.verdict",),
    "yaml": ("search.recipes",),
    "tomlkit": ("search.commands.compare",),
    "jinja2": ("search.report",),
    "sklearn": ("trainable",),
    "matplotlib": ("search.report.figures.png", "search.commands.schedule"),
    "click": ("search.cli", "search.flags"),
    "pyarrow": ("trainable", "search.engine"),
    "IPython": ("search.api",),
    "datasets": ("trainable.data.hub",),
}
"""Only places where shipped code may import a library; tests and benchmarks may anywhere."""

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")

MOST_MODULES = 20
"""Modules of a folder, besides its ``__init__.py``."""
DRAWERS = {"utils", "util", "helpers", "common", "manager", "misc", "base"}
"""Names that say nothing of what is inside."""
MOST_LOADED_BY_SPACES = 100
"""Modules that importing all of spaces may load beyond a bare interpreter: itself and the standard
library behind dataclasses. One import of numpy alone would load more."""


# What a module imports


def files_of(*packages: str) -> list[str]:
    """Paths of all modules below some top-level folders, relative to the project's root."""
    found = chain.from_iterable((ROOT / package).rglob("*.py") for package in packages)
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


ALL_FILES = files_of(*OURS)
MODULES = {
    file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in ALL_FILES
}


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Full name of every imported module, and whether it is loaded when a function is called.

    What is imported for type checkers alone is never loaded.
    """
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            whole = [f"{origin}.{alias.name}" for alias in node.names]
            # `from search.engine import cluster` imports a module, not a name of one.
            names = [name if name in MODULES else origin for name in whole]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        yield from ((name, id(node) in inside) for name in names)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def package_of(module: str) -> str:
    """The line of `MAY_IMPORT` that a module falls under."""
    return max((name for name in MAY_IMPORT if is_in(module, name)), key=len)


def forbidden_in(file: str, source: str) -> list[str]:
    """List the imports of a module that are not allowed, in words."""
    module = module_of(file)
    package = package_of(module)
    found = []
    for name, is_called in dict.fromkeys(imports_of(ast.parse(source))):
        if name.startswith("."):
            found.append(f"{name} is relative")
        elif name.partition(".")[0] in OURS:
            own = package_of(name) == package
            if not own and not any(is_in(name, allowed) for allowed in MAY_IMPORT[package]):
                found.append(f"{name} is not below {package}")
            lazy = ONLY_WHEN_CALLED.get(package, ())
            if not is_called and any(is_in(name, later) for later in lazy):
                found.append(f"{name} is loaded before it is needed")
        elif package == "spaces" and name.partition(".")[0] not in sys.stdlib_module_names:
            found.append(f"{name} is not of the standard library")
        elif package.partition(".")[0] in SHIPPED:
            rooms = LIVES_IN.get(name.partition(".")[0])
            if rooms is not None and not any(is_in(module, room) for room in rooms):
                found.append(f"{name} lives in {' and '.join(rooms)}")
    return found


@pytest.mark.parametrize("file", ALL_FILES)
def test_a_module_imports_nothing_that_it_must_not(file: str) -> None:
    assert forbidden_in(file, (ROOT / file).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("spaces/x.py", "import numpy as np", ["numpy is not of the standard library"]),
        ("spaces/x.py", "def f():\n    from torch import nn", ["torch is not of the standard"]),
        ("spaces/x.py", "import math, trainable.ema", ["trainable.ema is not below spaces"]),
        ("spaces/x.py", "import math\nfrom spaces.task import Task", []),
        ("spaces/x/y.py", "from .task import Task", [".task is relative"]),
        ("spaces/x.py", "from . import task", [". is relative"]),
        ("trainable/x.py", "import ray.tune", ["ray.tune lives in trainable.ray_trainable and"]),
        ("trainable/x.py", "from search.records.trials import Trial", ["search.records.trials is"]),
        ("trainable/x.py", "import torch\nfrom spaces.task import Task", []),
        ("trainable/ray_trainable.py", "from ray import tune", []),
        ("trainable/ray_trainable.py", "import optuna", ["optuna lives in search.stages"]),
        ("search/records/x.py", "import trainable.ema", ["trainable.ema is not below search.rec"]),
        ("search/records/x.py", "from search.verdict import design", ["search.verdict.design is"]),
        ("search/verdict/x.py", "from search.records.metrics import METRICS", []),
        ("search/verdict/x.py", "from search.records import metrics", []),
        ("search/verdict/x.py", "from search.records import journal", ["search.records.journal"]),
        ("search/recipes/x.py", "import search.plan.plan", ["search.plan.plan is not below"]),
        ("search/plan/x.py", "from search.engine.cluster import connect", []),
        ("search/plan/x.py", "from search.engine.run import run", ["search.engine.run is not"]),
        ("search/plan/x.py", "def f():\n    import search.stages.rungs", ["search.stages.rungs"]),
        (
            "search/report/figures/x.py",
            "from search.tracking import view",
            ["search.tracking.view"],
        ),
        ("search/tracking/x.py", "from search.report.outputs import a", ["search.report.outputs"]),
        ("search/tracking/x.py", "if TYPE_CHECKING:\n    import ray", ["ray lives in trainable"]),
        ("search/tracking/x.py", "from mlflow import MlflowClient", []),
        ("search/commands/x.py", "from mlflow import MlflowClient", ["mlflow lives in search.tr"]),
        ("search/stages/x.py", "import ray, optuna", ["ray lives in trainable.ray_trainable and"]),
        ("search/commands/train/x.py", "import search.cli", ["search.cli is not below search.com"]),
        ("search/cli.py", "def f():\n    from search.engine import cluster", []),
        ("search/cli.py", "from search.engine import cluster", ["search.engine.cluster is loaded"]),
        ("search/x.py", "if TYPE_CHECKING:\n    from search.api.functions import run", []),
        (
            "search/x.py",
            "if x:\n    from search.api.functions import run",
            ["search.api.functions"],
        ),
        (
            "search/commands/x.py",
            "import IPython, search.api",
            ["IPython lives in", "search.api is"],
        ),
        ("search/cli.py", "import_module('search.report.page')", ["search.report.page is not"]),
        ("benchmarks/x.py", "import ray, search.cli", []),
        ("benchmarks/steps/x.py", "from tests.support import replay", ["tests.support.replay is"]),
        ("tests/x.py", "import ray, optuna, benchmarks.pairs, trainable.ema", []),
    ],
)
def test_the_rule_finds_what_is_forbidden_and_nothing_else(
    file: str, source: str, found: list[str]
) -> None:
    said = forbidden_in(file, source)
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def loaded_by(module: str) -> dict[str, list[str]]:
    """Every module of ours that is loaded with one, and what each imports outside of functions."""
    found: dict[str, list[str]] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            path = ROOT / f"{name.replace('.', '/')}.py"
            path = path if path.exists() else path.parent / path.stem / "__init__.py"
            imports = dict.fromkeys(imports_of(ast.parse(path.read_text("utf-8"))))
            found[name] = [other for other, is_called in imports if not is_called]
            waiting += [other for other in found[name] if other in MODULES]
    return found


@pytest.mark.parametrize("start", STARTS_WITH)
def test_a_run_starts_without_the_libraries_that_it_needs_late_or_never(start: str) -> None:
    loaded = loaded_by(start)
    assert len(loaded) > 40
    slow = [
        (module, name)
        for module, names in loaded.items()
        for name in names
        if name.partition(".")[0] in SLOW_TO_LOAD
    ]
    assert slow == []


def test_the_table_has_no_circle_and_names_what_there_is() -> None:
    """Each line names only packages of earlier lines, and each package has a line."""
    earlier: list[str] = []
    for package, allowed in MAY_IMPORT.items():
        assert all(any(is_in(name, line) for line in earlier) for name in allowed)
        earlier.append(package)
    rooms = chain(*MAY_IMPORT.values(), *ONLY_WHEN_CALLED.values(), *LIVES_IN.values())
    assert set(rooms) | set(MAY_IMPORT) <= MODULES | {"tests", "benchmarks"}
    assert {f"search.{path.parent.name}" for path in (ROOT / "search").glob("*/__init__.py")} == {
        package for package in MAY_IMPORT if package.startswith("search.")
    }


# What docs/architecture.md says


def documented() -> dict[str, list[str]]:
    """The table of the page: by package, what it may import."""
    rows = [line.split("|") for line in ARCHITECTURE.splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): re.findall(r"`([\w.]+)`", row[3]) for row in rows}


def test_the_page_on_the_architecture_names_the_same_imports() -> None:
    said = documented()
    assert list(said) == [package for package in MAY_IMPORT if package.split(".")[0] in SHIPPED]
    for package, named in said.items():
        # Too many to name: all of the above.
        named_not = package in EVERYTHING_ABOVE
        assert set(named) == (set() if named_not else set(MAY_IMPORT[package]))
    for package in EVERYTHING_ABOVE:
        above = list(said)[: list(said).index(package)]
        assert set(MAY_IMPORT[package]) == set(above)


def test_every_file_that_the_page_on_the_architecture_names_is_there() -> None:
    named = {
        name
        for name in re.findall(r"`([\w./]+)`", ARCHITECTURE)
        if "/" in name and not name.startswith("spaces/strengths/stochastic_width")
    }
    assert "search/cli.py" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


# How folders are kept


def crowded(files: Sequence[str]) -> dict[str, int]:
    """Folders that hold more than `MOST_MODULES`, and how many those are."""
    modules = [PurePosixPath(file) for file in files]
    counts = Counter(str(path.parent) for path in modules if path.name != "__init__.py")
    return {folder: count for folder, count in counts.items() if count > MOST_MODULES}


def test_no_folder_has_more_modules_than_one_reads_together() -> None:
    assert crowded(ALL_FILES) == {}


def test_a_crowded_folder_is_found() -> None:
    full = [f"search/x/m{number}.py" for number in range(20)]
    assert crowded([*full, "search/x/__init__.py", "search/x/y/m.py"]) == {}
    assert crowded([*full, "search/x/more.py"]) == {"search/x": 21}


@pytest.mark.parametrize(
    "file", [file for file in files_of(*SHIPPED) if file.endswith("__init__.py")]
)
def test_a_package_says_what_it_is_in_one_docstring_and_exports_nothing(file: str) -> None:
    body = ast.parse((ROOT / file).read_text("utf-8")).body

    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)
    if file != "search/__init__.py":  # It names what Python users call.
        assert len(body) == 1
        assert "\n" not in body[0].value.value


def test_each_folder_of_what_is_shipped_is_a_package() -> None:
    # Without an `__init__.py` setuptools would leave it out.
    folders = {(ROOT / file).parent for file in files_of(*SHIPPED)}

    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not {Path(file).stem for file in files_of(*SHIPPED)} & DRAWERS


def python_under_mlflow(checkout: Path) -> list[str]:
    """Modules below ``mlflow/`` that git tracks: what a search leaves in the store is not ours."""
    listed = subprocess.run(
        ["git", "-C", str(checkout), "ls-files", "mlflow"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [file for file in listed if file.endswith((".py", ".pyi", ".so"))]


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout of git's")
def test_no_python_lies_under_mlflow() -> None:
    # With a module there, the folder would shadow the installed package of that name (PEP 420).
    assert python_under_mlflow(ROOT) == []


@needs_git
def test_python_under_mlflow_is_found_if_it_is_tracked(tmp_path: Path) -> None:
    for name in ("mlflow/store/artifacts/champion_code.py", "mlflow/views.py", "mlflow/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("/mlflow/store/\n")
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)

    assert python_under_mlflow(tmp_path) == ["mlflow/views.py"]


# What spaces costs to import


def test_all_of_spaces_loads_few_modules_and_no_numerical_library() -> None:
    names = [module_of(file) for file in files_of("spaces")]
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
    assert len(loaded) <= MOST_LOADED_BY_SPACES
