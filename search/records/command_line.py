"""Commands for people to type, with each word quoted for the shell."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from search.records.provenance import ROOT

CHECKOUT_PYTHON = ".venv/bin/python"
"""Path of the interpreter that `make setup` installs, relative to the checkout."""
BY_MAKE = "SEARCH_BY_MAKE"
"""Variable of the environment that the Makefile sets for the commands that it runs."""
_VERBS = {"search": "run"}
"""Targets of make whose command of ``python -m search`` has another name."""


def quoted(word: str | Path) -> str:
    """Quote one word for the shell if it holds characters that the shell would interpret.

    Characters that cannot be copied from a terminal, log or page (line breaks, control characters,
    bytes that are no text) become escapes inside ``$'...'``, which bash, zsh and ksh understand.
    """
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(character) for character in text) + "'"


def command_line(words: Iterable[str | Path], *, environment: Mapping[str, str] = {}) -> str:
    """Join words to a shell command, after assignments of the variables in ``environment``."""
    variables = [f"{name}={quoted(value)}" for name, value in environment.items()]
    return " ".join([*variables, *map(quoted, words)])


def make_command(target: str, **variables: str | Path | None) -> str:
    """Write a call of make, to be typed in the checkout.

    Args:
        target: Target of make.
        variables: Values by name; a variable with None is left out.
    """
    given = {name: value for name, value in variables.items() if value is not None}
    return " ".join(["make", target, *(f"{name}={quoted(value)}" for name, value in given.items())])


def python_command(
    target: str, *, python: str | Path = CHECKOUT_PYTHON, **variables: str | Path | None
) -> str:
    """Write the command that a target of make runs; ``python`` is the path of the interpreter."""
    words: list[str | Path] = [python, "-m", "search", _VERBS.get(target, target)]
    for name, value in variables.items():
        if value is not None:
            flag = f"--{name.lower().replace('_', '-')}"
            # As a separate word, a value that starts with a dash would be read as another flag.
            words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, value]
    return command_line(words)


def next_command(target: str, **variables: str | Path | None) -> str:
    """Write a command to type next in this process's working directory.

    It uses make only if that directory is the checkout.
    """
    if (Path.cwd() / "Makefile").is_file() and Path.cwd().samefile(ROOT):
        return make_command(target, **variables)
    return python_command(target, python=sys.executable, **variables)


def as_typed(message: str) -> str:
    """Name flags as whoever typed make knows them: `` `--metric` `` becomes `` `METRIC=` ``.

    Only flags that stand between back quotes, or between quotes as click has them.
    """
    if not os.environ.get(BY_MAKE):
        return message
    return re.sub(
        r"([`'])--([a-z][a-z0-9-]*)\1",
        lambda flag: f"{flag[1]}{flag[2].upper().replace('-', '_')}={flag[1]}",
        message,
    )


def near(path: Path) -> Path:
    """Make a path relative to the working directory if it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
