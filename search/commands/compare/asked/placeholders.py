"""The command that runs a script: which placeholders it has, and what stands in their place."""

import re
import shlex
from collections.abc import Mapping, Sequence

from spaces.errors import InputError

WORDS = {
    "config": "path of the run's configuration file",
    "args": "the configuration as flags, --key value",
    "seed": "seed of the run",
    "fold": "number of the block, from 0, or of its fold with --folds",
    "dir": "directory of the run",
}
"""Placeholders and what they stand for."""
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")


def words_of(command: str) -> tuple[str, ...]:
    """The words of a command as a shell would split them; no shell runs them.

    Raises:
        InputError: If quotes are not closed, a placeholder does not exist, or the configuration
            does not reach the script.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise InputError(f"`--command` cannot be read: {error}.") from None
    if not words:
        raise InputError("`--command` must be a command, such as 'python train.py {args}'.")
    require_known(command, "--command")
    if not placeholders(words) & {"config", "args"}:
        raise InputError(
            "`--command` must hold {config} or {args}, or the script never sees what is compared."
        )
    if any("{args}" in word and word != "{args}" for word in words):
        raise InputError("`--command`: {args} is several words, so it must stand alone.")
    return words


def placeholders(words: Sequence[str]) -> set[str]:
    """Names of the placeholders in some words."""
    return {name for word in words for name in _PLACEHOLDER.findall(word)}


def require_known(text: str, flag: str) -> None:
    """Refuse a placeholder that does not exist.

    Raises:
        InputError: If there is one; the message names all.
    """
    unknown = sorted(placeholders([text]) - set(WORDS))
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in WORDS)
        wrong = ", ".join(f"{{{name}}}" for name in unknown)
        raise InputError(f"`{flag}` holds {wrong}; the placeholders are {known}.")


def fill(word: str, filled: Mapping[str, str]) -> str:
    """A word with the values of its placeholders; other braces stay."""
    return _PLACEHOLDER.sub(lambda found: filled.get(found[1], found[0]), word)


def command_words(
    words: Sequence[str], filled: Mapping[str, str], arguments: Sequence[str]
) -> list[str]:
    """The words to execute: ``{args}`` becomes the configuration's flags."""
    return [
        part for word in words for part in (arguments if word == "{args}" else [fill(word, filled)])
    ]
