"""Commands as a person types them, quoted so that a shell reads each word as it was meant."""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from search.records.provenance import ROOT

CHECKOUT_PYTHON = ".venv/bin/python"
"""The interpreter that `make setup` makes, seen from the checkout."""
_VERBS = {"search": "run"}
"""Targets of make that another command of ``python -m search`` stands behind."""


def quoted(word: str | Path) -> str:
    """Quote one word for the shell, if it holds anything that the shell would interpret.

    What a terminal, a log or a page would not hand on as it is (line breaks, control characters,
    bytes that are no text) becomes an escape inside ``$'...'``, which bash, zsh and ksh read back.
    """
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(character) for character in text) + "'"


def command_line(words: Iterable[str | Path], *, environment: Mapping[str, str] = {}) -> str:
    """Join words to a line for the shell, after the variables that the command must see."""
    variables = [f"{name}={quoted(value)}" for name, value in environment.items()]
    return " ".join([*variables, *map(quoted, words)])


def make_command(target: str, **variables: str | Path | None) -> str:
    """A call of make, to be typed in the checkout.

    Args:
        target: What is made.
        variables: Values by name; None leaves the variable out.
    """
    given = {name: value for name, value in variables.items() if value is not None}
    return " ".join(["make", target, *(f"{name}={quoted(value)}" for name, value in given.items())])


def python_command(
    target: str, *, python: str | Path = CHECKOUT_PYTHON, **variables: str | Path | None
) -> str:
    """The same without make; ``python`` is the interpreter, seen from where it is to be typed."""
    words: list[str | Path] = [python, "-m", "search", _VERBS.get(target, target)]
    for name, value in variables.items():
        if value is not None:
            flag = f"--{name.lower().replace('_', '-')}"
            # Apart, a value that starts with a dash could be read as another flag.
            words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, value]
    return command_line(words)


def next_command(target: str, **variables: str | Path | None) -> str:
    """What to type next in the working directory of this process, where make may know nothing."""
    if (Path.cwd() / "Makefile").is_file() and Path.cwd().samefile(ROOT):
        return make_command(target, **variables)
    return python_command(target, python=sys.executable, **variables)


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
