"""Arguments of timm's ``train.py`` with their defaults, read with checked types."""

from collections.abc import Iterable, Mapping
from typing import Any

from search.recipes.timm_keys import RETIRED_KEYS, TRAIN_DEFAULTS
from spaces.errors import InputError

_MOST_SHOWN = 60
"""Largest number of characters of a value in a sentence."""


def shown(value: object) -> str:
    """Format a value of a file as one short line."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    flat = " ".join(text.split())
    return flat if len(flat) <= _MOST_SHOWN else f"{flat[:_MOST_SHOWN]}..."


class TimmArgs:
    """The arguments that ``train.py`` would use, with a record of the keys that were read.

    Args:
        args: Values by key, as in an ``args.yaml``.
        defaults: Defaults that take precedence over those of ``train.py``.
    """

    def __init__(self, args: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._args = dict(args)
        self._defaults = {**TRAIN_DEFAULTS, **dict.fromkeys(RETIRED_KEYS), **defaults}
        self._defaulted: dict[str, Any] = {}
        self._read: set[str] = set()
        self._settled: set[str] = set()
        self._told: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._args

    def __getitem__(self, key: str) -> Any:
        if key not in self._args:
            self._defaulted[key] = self._defaults[key]
        self._read.add(key)
        return self.peek(key)

    def peek(self, key: str) -> Any:
        """Return the value of ``key`` without recording the use of its default."""
        return self._args.get(key, self._defaults[key])

    def settle(self, keys: Iterable[str], *, told: Iterable[str]) -> None:
        """Record that ``keys`` have been handled, and which of them other notes mention.

        The others have values that agree with this project's behaviour.
        """
        self._settled.update(keys)
        self._told.update(told)

    def text(self, key: str) -> str:
        """Return the value of ``key``, which must be text."""
        value = self[key]
        if not isinstance(value, str) or not value:
            raise InputError(f"`{key}` must be text, but got {value!r}.")
        return value

    def flag(self, key: str) -> bool:
        """Return the value of ``key``, which must be true, false or null (as false)."""
        value = self[key]
        if value is not None and not isinstance(value, bool):
            raise InputError(f"`{key}` must be true or false, but got {value!r}.")
        return bool(value)

    def number(
        self, key: str, low: float, high: float | None = None, *, none: float | None = None
    ) -> float:
        """Return the value of ``key``, which must be in ``[low, high]``; null becomes ``none``."""
        value = self[key]
        return none if value is None and none is not None else _number(key, value, low, high)

    def integer(self, key: str, low: int) -> int:
        """Return the value of ``key``, which must be a whole number of at least ``low``."""
        return _whole(key, self[key], low)

    def numbers(self, key: str, low: float, high: float | None = None) -> tuple[float, ...]:
        """Return the value of ``key``, which must be a list of numbers in ``[low, high]``."""
        values = self[key]
        if not isinstance(values, (list, tuple)) or not values:
            raise InputError(f"`{key}` must be a list of numbers, but got {values!r}.")
        return tuple(_number(key, value, low, high) for value in values)

    def mapping(self, key: str) -> dict[str, Any]:
        """Return the value of ``key``, which must be a mapping or null (as empty)."""
        value = self[key]
        if value is not None and not isinstance(value, Mapping):
            raise InputError(f"`{key}` must be a mapping, but got {value!r}.")
        return dict(value or {})

    def notes(self) -> tuple[str, ...]:
        """Write sentences on unknown keys, on keys without effect here, and on defaults used."""
        known = set(TRAIN_DEFAULTS) | RETIRED_KEYS
        unknown = sorted(set(self._args) - known)
        counted = [
            f"{key} = {value}"
            for key, value in self._defaulted.items()
            if value not in (None, False, "") and value != {}
        ]
        notes = []
        if unknown:
            notes.append(f"Keys that timm's train.py does not know: {', '.join(unknown)}.")
        if as_here := self._listed(self._settled - self._read - self._told, counted=False):
            notes.append(f"As it is here anyway: {as_here}.")
        if idle := self._listed(known - self._read - self._settled):
            notes.append(f"Without effect here: {idle}.")
        if counted:
            notes.append(f"Not in the file, so the default counts: {', '.join(counted)}.")
        return tuple(notes)

    def _listed(self, keys: set[str], *, counted: bool = True) -> str:
        """List those of ``keys`` that the file sets to another value than the default.

        With ``counted`` also the number of keys that it sets to their default.
        """
        held = sorted(keys & set(self._args))
        changed = [key for key in held if self._args[key] not in (None, TRAIN_DEFAULTS.get(key))]
        named = [f"{key} = {shown(self._args[key])}" for key in changed]
        if counted and (rest := len(held) - len(changed)):
            named.append(f"{rest} key{'s' * (rest > 1)} as train.py has them by default")
        return ", ".join(named)


def _number(key: str, value: object, low: float, high: float | None) -> float:
    if isinstance(value, str):  # argparse converts text that stands in the file.
        try:
            value = float(value)
        except ValueError:
            raise InputError(f"`{key}` must be a number, but got {value!r}.") from None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"`{key}` must be a number, but got {value!r}.")
    # Written as "not inside" so that NaN and infinity are refused too.
    if not low <= value < float("inf") or (high is not None and value > high):
        upper = "" if high is None else f" <= {high:g}"
        raise InputError(f"`{low:g} <= {key}{upper}` must hold, but got {value!r}.")
    return value


def _whole(key: str, value: object, low: int) -> int:
    number = _number(key, value, low, None)
    if number != int(number):
        raise InputError(f"`{key}` must be an integer, but got {value!r}.")
    return int(number)
