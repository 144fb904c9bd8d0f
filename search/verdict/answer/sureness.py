"""Statements on each setting, grouped by certainty: sure, likely, open, keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.records.metrics import metric_of
from search.verdict.answer.advised_value import advised_value
from search.verdict.dials import UNFINISHED
from search.verdict.schema import Dial
from search.verdict.wording import change, change_with_interval, value_text
from spaces.strengths.registry import known

GROUPS = {
    "sure": "Turned by what decides: a false turn in a whole run is held to 5 %.",
    "likely": "Turned by log-loss where accuracy cannot tell, or taken over as tried without "
    "being decided.",
    "open": "Not decided: your value stays.",
    "keep": "Shown to be no better elsewhere, or not varied: your value stays.",
}
"""Meaning of each group, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """The statement on one setting.

    Attributes:
        strength: Name of the strength.
        group: One of `GROUPS`.
        value: The value, or the old and the new one.
        why: The effect with its interval, or another reason.
    """

    strength: str
    group: str
    value: str
    why: str

    @property
    def text(self) -> str:
        """The statement on one line."""
        return f"{self.strength} {self.value}: {self.why}"


def statements(
    dials: Sequence[Dial], tried: Mapping[str, float] | None = None
) -> tuple[Statement, ...]:
    """Make the statement on each setting, the surest group first.

    Args:
        dials: Dials of the verdict.
        tried: By name, the value that the experiment compared with the reference's.
    """
    said = [_statement(dial, (tried or {}).get(dial.strength, dial.recommended)) for dial in dials]
    return tuple(sorted(said, key=lambda statement: list(GROUPS).index(statement.group)))


def _statement(dial: Dial, tried: float) -> Statement:
    value, _ = advised_value(dial)
    is_moved = value != dial.reference
    shown = value_text(dial.strength, dial.reference)
    if is_moved:
        shown += f" -> {value_text(dial.strength, value)}"
    if dial.turn in ("down", "up"):
        is_sure = dial.decided_by in (dial.judged_by, "diverged")
        group, why = ("sure" if is_sure else "likely"), _turned(dial)
    elif is_moved:
        group, why = "likely", _taken_over(dial)
    elif dial.turn == "inconclusive":
        group, why = "open", _open(dial)
    else:
        group, why = "keep", _kept(dial, tried)
    return Statement(strength=dial.strength, group=group, value=shown, why=why)


def _turned(dial: Dial) -> str:
    effect = dial.effect.get(str(dial.decided_by))
    if effect is None:
        return dial.remark or "decided by runs that diverge"
    metric = metric_of(str(dial.decided_by))
    shown = change_with_interval(metric.name, effect)
    said = shown if dial.decided_by == dial.judged_by else f"{shown} of {metric.head}"
    return f"{said}{_only_here(dial)}"


def _only_here(dial: Dial) -> str:
    """Write a warning if the effect of the raw value depends on the size of the run."""
    factor = known().get(dial.strength)
    if factor is None or not factor.holds_for or dial.recommended == factor.off:
        return ""
    return f"; for {factor.holds_for}"


def _taken_over(dial: Dial) -> str:
    effect = dial.effect.get(dial.judged_by)
    shown = f"{change_with_interval(dial.judged_by, effect)}, " if effect else ""
    factor = known().get(dial.strength)
    is_off = factor is not None and dial.recommended == factor.off
    simpler = ", off is simpler" if is_off else ""
    return f"{shown}not decided{simpler}{_only_here(dial)}"


def _open(dial: Dial) -> str:
    if dial.remark.endswith(UNFINISHED):
        return "these runs are too short"
    if dial.matters_less_than is None:
        return "cannot be told from these runs"
    return f"matters less than {change(dial.judged_by, dial.matters_less_than).lstrip('+')}"


def _kept(dial: Dial, tried: float) -> str:
    if not dial.effect:
        return "not varied"
    if tried == dial.reference:
        return "no other value does better"
    effect, margin = dial.effect.get(dial.judged_by), metric_of(dial.judged_by).margin
    other = value_text(dial.strength, tried)
    if effect is not None and -margin < effect.ci95[0] <= effect.ci95[1] < margin:
        return f"{other} makes no difference"
    if dial.decided_by in (dial.judged_by, None):
        return f"{other} does worse"
    if dial.decided_by not in dial.effect:
        return f"more runs diverge at {other}"
    return f"{other} does worse by {metric_of(dial.decided_by).head}"
