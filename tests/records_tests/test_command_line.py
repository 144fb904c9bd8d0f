"""Whatever a word holds, a shell and make hand it on as it was."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from search.cli import cli
from search.records.command_line import (
    BY_MAKE,
    as_typed,
    command_line,
    make_command,
    next_command,
    python_command,
    quoted,
)
from search.records.provenance import ROOT
from search.tracking.notes import code_span
from tests.support.pasting import ODD, pasted


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("`--metric` must be given", "`METRIC=` must be given"),
        ("give `--max-runs` or `--max-blocks`", "give `MAX_RUNS=` or `MAX_BLOCKS=`"),
        ("Invalid value for '--num-samples': x", "Invalid value for 'NUM_SAMPLES=': x"),
        # What somebody typed stays: a flag of his own script is none of ours.
        ("`python t.py --seed 3` ended", "`python t.py --seed 3` ended"),
    ],
)
def test_who_typed_make_reads_of_its_variables(
    message: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BY_MAKE, raising=False)
    assert as_typed(message) == message
    monkeypatch.setenv(BY_MAKE, "1")
    assert as_typed(message) == said


def test_make_says_that_it_called() -> None:
    recipes = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "RUN_PYTHON) -m search" in line
    ]
    assert recipes
    assert all(f"@{BY_MAKE}=1 " in line for line in recipes)


WORDS = [
    "plain",
    "",
    "a b",
    "a  b ",
    "bob's photos",
    'the "best"',
    "$HOME",
    "$(HOME)",
    "$$",
    "`echo hi`",
    "(x)",
    "-rf",
    "--help",
    "#1",
    "a;b|c&d",
    "*.jpg",
    "~/x",
    "back\\slash",
    "ends with \\",
    "!history",
    "a=b",
    "50%",
    "größe 猫 🐈",
    "two\nlines",
    "a\ttab",
    "\x1b[2J",
    "no text \udcff",
    "'",
    ODD,
]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_a_quoted_word_as_it_was(word: str) -> None:
    script = f"printf %s {quoted(word)} end"
    result = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert result.stdout.decode(errors="surrogateescape") == f"{word}end"
    assert quoted(word).isprintable()


@pytest.mark.parametrize("word", WORDS)
def test_make_hands_a_value_to_the_program_as_it_was_typed(word: str, tmp_path: Path) -> None:
    line = make_command("resume", RUN=word, TRACKING_URI=None)
    assert pasted(line, tmp_path) == ["resume", f"--run={word}"]


@pytest.mark.parametrize("word", WORDS)
def test_without_make_the_program_gets_the_same(word: str, tmp_path: Path) -> None:
    line = python_command("search", RUN_DIR=word, SEED="3", DATA_DIR=None)
    verb, *words = pasted(line, tmp_path)
    assert verb == "run"
    assert words in (["--run-dir", word, "--seed", "3"], [f"--run-dir={word}", "--seed", "3"])
    # Apart, it would be taken for another flag.
    assert not word.startswith("-") or words[0] == f"--run-dir={word}"


def test_only_what_is_typed_after_make_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL", "somebody's")
    assert pasted("make resume RUN=r1 NUM_SAMPLES=3", tmp_path) == [
        "resume",
        "--num-samples=3",
        "--run=r1",
    ]


def test_the_next_command_works_where_make_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert next_command("resume", RUN="r1") == "make resume RUN=r1"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Makefile").write_text("all:\n")  # A project of somebody else.
    line = next_command("resume", RUN=ODD)
    assert pasted(line, tmp_path, cwd=tmp_path) == ["resume", f"--run={ODD}"]
    interpreter = line.split(" -m search ")[0]
    help_of = subprocess.run(
        ["bash", "-c", f"PYTHONPATH={quoted(ROOT)} {interpreter} -m search resume --help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--run" in help_of.stdout


def test_variables_stand_before_the_command() -> None:
    line = command_line(["sh", "-c", 'printf %s "$X"'], environment={"X": ODD})
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert result.stdout == ODD


@pytest.mark.parametrize("text", ["a", "`a`", "a``b", "`", "```", "a` b"])
def test_code_in_markdown_keeps_its_back_quotes(text: str) -> None:
    span = code_span(text)
    fence = re.match("`+", span)
    assert fence is not None
    # By CommonMark, 6.1: the span ends at the next run of equally many, and a space at both ends
    # falls off.
    inner = span[len(fence[0]) : -len(fence[0])]
    assert len(fence[0]) not in {len(run) for run in re.findall("`+", inner)}
    if inner.startswith(" ") and inner.endswith(" "):
        inner = inner[1:-1]
    assert inner == text


def test_no_module_joins_a_command_by_hand() -> None:
    """A value behind ``RUN=`` in a text would stand there unquoted."""
    by_hand, targets = [], "|".join(["search", *cli.commands])
    for path in sorted(
        p for folder in ("search", "spaces", "trainable") for p in Path(ROOT / folder).rglob("*.py")
    ):
        if path.name == "command_line.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, _ in zip(node.values, node.values[1:], strict=False):
                text = before.value if isinstance(before, ast.Constant) else ""
                if re.search(rf"(\bmake ({targets})|python -m |mlflow ).*[ =]$", str(text)):
                    by_hand.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not by_hand
