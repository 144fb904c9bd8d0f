"""Rules for names of runs, which are directories, words of commands and titles in MLflow."""

import reprlib
import unicodedata

from spaces.errors import InputError

_SIGNS = "._-"
_MOST_BYTES = 200
_MOST_MADE_UP_BYTES = 100
"""Limit on the bytes of a generated name, with room for a time and a prefix."""


def require_run_name(name: str, *, flag: str) -> None:
    """Raise if a name has a special meaning in a path, a shell or make.

    Raises:
        InputError: If it is empty, too long, starts with a dot or a dash, or holds anything but
            letters, digits, ``.``, ``_`` and ``-``.
    """
    is_plain = all(_is_plain(character) for character in name) and not name.startswith((".", "-"))
    if not is_plain or not 0 < len(name.encode("utf-8", "replace")) <= _MOST_BYTES:
        raise InputError(
            f"`{flag}` must be a plain name of letters, digits, `.`, `_` and `-` that starts with "
            f"a letter, a digit or `_`, but got {reprlib.repr(name)}."
        )


def plain_name(text: str) -> str:
    """Turn a text into a similar name that `require_run_name` accepts."""
    # Some systems encode an accented letter as two characters, the second of which is no letter.
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(c if _is_plain(c) else "-" for c in composed).lstrip(".-")
    return kept.encode()[:_MOST_MADE_UP_BYTES].decode(errors="ignore")[:60] or "run"


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in _SIGNS
