"""Differences between two configurations, as the factors of an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.commands.compare.asked.configurations import UNSET, Configuration, kind, same, word
from spaces.errors import InputError

REFERENCE, BEST = -1, 1
"""Levels of a factor: the reference's values, the best's."""
MAX_FACTORS = 19
"""The largest screening design has 20 runs a block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One or several keys that go together from the reference's values to the best's.

    Attributes:
        name: The dotted key, or the name of a group.
        reference: Values of the reference by dotted key; `UNSET` where it lacks one.
        best: Values of the best; the same keys.
    """

    name: str
    reference: Mapping[str, Any]
    best: Mapping[str, Any]

    def values(self, level: int) -> Mapping[str, Any]:
        """The values of one level by dotted key."""
        return self.best if level == BEST else self.reference

    def words(self, level: int) -> str:
        """The values of one level as one would type them: ``0.1``, or ``sched=cosine, epochs=90``.

        The key is left out where it is the factor's name.
        """
        values = self.values(level)
        if list(values) == [self.name]:
            return word(values[self.name])
        return ", ".join(f"{key}={word(value)}" for key, value in values.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """A pair of levels that a run must not combine: where one factor has a level, another must too.

    Attributes:
        factor: The one that asks.
        level: Its level that asks.
        needs: The one that must follow.
        needed: The level it must have then.
        text: As it was typed.
    """

    factor: str
    level: int
    needs: str
    needed: int
    text: str

    def allows(self, levels: Mapping[str, int]) -> bool:
        """Whether a run with these levels keeps to it."""
        return levels[self.factor] != self.level or levels[self.needs] == self.needed


def factors_of(
    reference: Configuration,
    best: Configuration,
    *,
    groups: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> tuple[Factor, ...]:
    """The keys in which two configurations differ, grouped, without those that are held.

    Args:
        reference: One's own configuration.
        best: The one that it is held against.
        groups: Each as ``name=key,key``: keys that change together as one factor.
        fixed: Keys that stay at the reference's value in every run.

    Raises:
        InputError: If nothing differs, a key is unknown, in two groups, or of another kind in the
            other configuration, or more than `MAX_FACTORS` differ.
    """
    a, b = reference.flat, best.flat
    keys = [*a, *(key for key in b if key not in a)]
    differing = [key for key in keys if not same(a.get(key, UNSET), b.get(key, UNSET))]
    for key in fixed:
        _require_key(key, keys, differing, "--fix")
    differing = [key for key in differing if key not in fixed]
    for key in differing:
        kinds = {kind(a.get(key, UNSET)), kind(b.get(key, UNSET))} - {"nothing"}
        if len(kinds) > 1:
            raise InputError(
                f"`{key}` is {word(a[key])} ({kind(a[key])}) in the reference and {word(b[key])} "
                f"({kind(b[key])}) in the best: write both alike, or hold it with --fix {key}."
            )
    grouped = _groups(groups, keys, differing)
    group_of = {key: name for name, members in grouped.items() for key in members}
    names = dict.fromkeys(group_of.get(key, key) for key in differing)
    found = tuple(
        Factor(
            name=name,
            reference={key: a.get(key, UNSET) for key in grouped.get(name, [name])},
            best={key: b.get(key, UNSET) for key in grouped.get(name, [name])},
        )
        for name in names
    )
    if not found:
        beside = " that `--fix` does not hold" if fixed else ""
        raise InputError(
            f"`--reference` and `--best` have the same value of every key{beside}: give two "
            "configurations that differ."
        )
    if len(found) > MAX_FACTORS:
        raise InputError(
            f"At most {MAX_FACTORS} factors can be told apart, but {len(found)} keys differ: put "
            "some together with --group name=key,key or hold some with --fix key."
        )
    return found


def requirements_of(texts: Sequence[str], factors: Sequence[Factor]) -> tuple[Requirement, ...]:
    """Read ``a=x -> b=y``: where key ``a`` is ``x``, key ``b`` must be ``y``.

    Raises:
        InputError: If it is not of this form, a key is no factor's, a value is neither of its two,
            both keys go together anyway, or reference or best break it themselves.
    """
    found = []
    for text in texts:
        sides = text.split("->")
        if len(sides) != 2:
            raise InputError(f"`--require` must read 'a=x -> b=y', but got {text!r}.")
        (asks, level), (needs, needed) = (_level(side, factors, text) for side in sides)
        if asks == needs:
            raise InputError(f"--require {text!r}: both belong to the factor `{asks}` already.")
        requirement = Requirement(factor=asks, level=level, needs=needs, needed=needed, text=text)
        for name, end in (("reference", REFERENCE), ("best", BEST)):
            if not requirement.allows({factor.name: end for factor in factors}):
                raise InputError(f"--require {text!r}: the {name} itself does not keep to it.")
        found.append(requirement)
    return tuple(found)


def at_levels(
    reference: Configuration, factors: Sequence[Factor], levels: Mapping[str, int]
) -> Configuration:
    """The configuration of one run: the reference with the values of each factor's level."""
    values: dict[str, Any] = {}
    for factor in factors:
        values |= factor.values(levels[factor.name])
    return reference.replaced(values)


def _level(side: str, factors: Sequence[Factor], text: str) -> tuple[str, int]:
    key, equals, value = (part.strip() for part in side.partition("="))
    if not equals:
        raise InputError(f"`--require` must read 'a=x -> b=y', but got {text!r}.")
    factor = next((f for f in factors if key == f.name or key in f.reference), None)
    if factor is None:
        raise InputError(f"--require {text!r}: `{key}` is no key that differs.")
    if key not in factor.reference:
        raise InputError(f"--require {text!r}: name a key of the group `{key}`, not the group.")
    for level in (REFERENCE, BEST):
        if value == word(factor.values(level)[key]):
            return factor.name, level
    ways = " or ".join(word(factor.values(level)[key]) for level in (REFERENCE, BEST))
    raise InputError(f"--require {text!r}: `{key}` is {ways}, never {value}.")


def _groups(
    texts: Sequence[str], keys: Sequence[str], differing: Sequence[str]
) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for text in texts:
        name, equals, listed = (part.strip() for part in text.partition("="))
        members = [key.strip() for key in listed.split(",") if key.strip()]
        if not name or not equals or not members:
            raise InputError(f"`--group` must read name=key,key, but got {text!r}.")
        if name in grouped or (name in keys and name not in members):
            raise InputError(f"--group {text!r}: the name `{name}` is taken.")
        for key in members:
            _require_key(key, keys, differing, "--group")
            if any(key in others for others in grouped.values()):
                raise InputError(f"--group {text!r}: `{key}` is in another group already.")
        # A key that is the same in both may be named for the sake of order, and changes nothing.
        grouped[name] = [key for key in members if key in differing]
    return {name: members for name, members in grouped.items() if members}


def _require_key(key: str, keys: Sequence[str], differing: Sequence[str], flag: str) -> None:
    if key not in keys:
        shown = ", ".join(differing[:12]) or "none"
        raise InputError(f"{flag}: there is no key `{key}`; the keys that differ are {shown}.")
