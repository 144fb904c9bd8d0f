"""Metadata of the fields of `search.plan.config.RunConfig`: flag, help and interval.

An option is explained in this one place; the command line, the check of a value and the command
that reproduces a run all read it from the field.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from functools import cache
from types import MappingProxyType, NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from spaces.errors import InputError


@dataclass(frozen=True, slots=True)
class Option:
    """Metadata of a field, written beside its type: ``Annotated[int, Option("...")]``.

    Attributes:
        help: Explanation of the field, with its unit.
        flag: Name of its flag without dashes in front, if it differs from the field's name.
        default_words: Description of the default in ``--help``, if the value itself says too
            little.
        is_filled_in: Whether a command gets the field's default if the flag is not given; it gets
            None for all other fields and chooses the value itself.
        is_repeated: Whether the flag may be given several times.
        at_least: Smallest value, included.
        above: Lower bound of the values, excluded.
    """

    help: str
    _: KW_ONLY
    flag: str = ""
    default_words: str = ""
    is_filled_in: bool = False
    is_repeated: bool = False
    at_least: float | None = None
    above: float | None = None

    def require(self, name: str, value: Any) -> None:
        """Raise if a value is below the interval; None means no value and is accepted.

        Raises:
            InputError: If it is below the interval, or NaN.
        """
        if value is None:
            return
        if self.at_least is not None and not value >= self.at_least:
            raise InputError(f"`{name} >= {self.at_least:g}` must hold, but got {value!r}.")
        if self.above is not None and not value > self.above:
            raise InputError(f"`{name} > {self.above:g}` must hold, but got {value!r}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A field with an `Option`.

    Attributes:
        name: Name of the field.
        kind: Its type; for a tuple or an optional type, the type inside.
        default: Its default; `dataclasses.MISSING` if it is required.
        option: Its metadata.
    """

    name: str
    kind: type
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Name of the flag, without the dashes in front."""
        return self.option.flag or self.name.replace("_", "-")

    @property
    def explanation(self) -> str:
        """Help text of the field, with its smallest value if that is above 0, and its default."""
        option = self.option
        said = [f"at least {option.at_least:g}"] if option.at_least else []
        default = option.default_words
        if not default and self.default not in (MISSING, None, (), False):
            default = f"{self.default:g}" if isinstance(self.default, float) else f"{self.default}"
        said += [f"default: {default}"] if default else []
        return f"{option.help} [{', '.join(said)}]" if said else option.help


@cache
def asked_of(kind: type) -> Mapping[str, Asked]:
    """Return the fields of a dataclass that have an `Option`, by name, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for field in fields(kind):
        if get_origin(hints[field.name]) is not Annotated:
            continue
        inside, *extras = get_args(hints[field.name])
        for option in extras:
            if isinstance(option, Option):
                found[field.name] = Asked(
                    name=field.name, kind=_plain(inside), default=field.default, option=option
                )
    return MappingProxyType(found)


def _plain(kind: Any) -> type:
    """Return the innermost type: ``int`` of ``int | None``, ``str`` of ``tuple[str, ...]``."""
    inside = [arg for arg in get_args(kind) if arg not in (NoneType, ...)]
    if not inside:
        assert isinstance(kind, type)
        return kind
    (plain,) = inside
    return _plain(plain)
