"""Docstrings that a stranger understands alone: each says what a thing is or does.

A first sentence that begins with a question word ("What the runs rest on") names neither a thing
nor an action, and is only understood together with the code around it.
"""

import ast
from collections.abc import Iterator

import pytest

from search.records.provenance import ROOT

FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("search", "spaces", "trainable")
    for path in (ROOT / package).rglob("*.py")
)
QUESTION_WORDS = {"What", "How", "Where", "Which", "Who", "When", "Why"}


def riddles_in(source: str) -> list[str]:
    """First lines of the docstrings that begin with a question word, of constants and fields too.

    Commands are left out: click prints their docstrings as help, where a question suits.
    """
    return [
        text.strip().partition("\n")[0]
        for text in docstrings_of(ast.parse(source))
        if text.split()[:1] and text.split()[0] in QUESTION_WORDS
    ]


def docstrings_of(tree: ast.AST) -> Iterator[str]:
    """Yield every string that stands alone as a statement, but those of click's commands."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            if isinstance(child.value.value, str):
                yield child.value.value
        elif not is_command(child):
            yield from docstrings_of(child)


def is_command(node: ast.AST) -> bool:
    """Whether a function is decorated as a command or group of click."""
    return isinstance(node, ast.FunctionDef) and any(
        ast.unparse(decorator).partition("(")[0].endswith((".command", ".group"))
        for decorator in node.decorator_list
    )


def undocumented_in(source: str) -> list[str]:
    """Names of the public classes and functions without a docstring; ``module`` for the file."""
    tree = ast.parse(source)
    return [*([] if ast.get_docstring(tree) else ["module"]), *undocumented_below(tree)]


def undocumented_below(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Yield the names of public definitions without a docstring inside a module or class."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        if not ast.get_docstring(child):
            yield child.name
        if isinstance(child, ast.ClassDef):
            yield from undocumented_below(child)


@pytest.mark.parametrize("file", FILES)
def test_no_docstring_is_a_question_and_all_that_is_public_has_one(file: str) -> None:
    source = (ROOT / file).read_text("utf-8")

    assert riddles_in(source) == []
    assert undocumented_in(source) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What runs take."""', ["What runs take."]),
        ('"""Runs."""\nX = 1\n"""How many runs.\n\nMore."""', ["How many runs."]),
        ('class A:\n    x: int\n    """Where it lies."""', ["Where it lies."]),
        ('def f() -> None:\n    def g() -> None:\n        """Which it is."""', ["Which it is."]),
        ('@main.command()\ndef f() -> None:\n    """What a recipe lacks."""', []),
        ('def f() -> bool:\n    """Whether it runs."""\n    x = "What"', []),
        ('def f() -> None:\n    """Whatever it does."""', []),
    ],
)
def test_a_question_is_found_wherever_a_docstring_stands(source: str, found: list[str]) -> None:
    assert riddles_in(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1", ["module"]),
        ('"""A."""\ndef f(): ...', ["f"]),
        ('"""A."""\ndef _f(): ...\nclass B:\n    """B."""\n    def g(self): ...', ["g"]),
        ('"""A."""\nclass _B:\n    def g(self): ...', []),
        ('"""A."""\ndef f():\n    """F."""\n    def inner(): ...', []),
    ],
)
def test_a_missing_docstring_is_found_on_what_is_public(source: str, found: list[str]) -> None:
    assert undocumented_in(source) == found
