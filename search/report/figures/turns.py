"""One dial in marks and words, the same ones wherever it appears."""

import math

from search.records.metrics import metric_of
from search.report.figures.drawing import Mark
from search.verdict.schema import Dial, Estimate
from search.verdict.wording import raw

TURN_SHAPES = {
    "down": "triangle_down",
    "up": "triangle",
    "leave": "square",
    "inconclusive": "circle",
}
TURN_WORDS = {
    "down": "turn down",
    "up": "turn up",
    "leave": "leave",
    "inconclusive": "not decided",
}


def interval_text(metric: str, estimate: Estimate | None) -> str:
    """``+1.2 [+0.3, +2.1]`` in the unit of the metric; empty without an estimate."""
    if estimate is None or not math.isfinite(estimate.mean):
        return ""
    unit = metric_of(metric).unit

    def number(value: float) -> str:
        return unit.signed(value).replace("-", "−")

    low, high = estimate.ci95
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number(estimate.mean)} [unknown]"
    return f"{number(estimate.mean)} [{number(low)}, {number(high)}]"


def values_text(dial: Dial, tried: float) -> str:
    """From which value to which the effect goes, and whether that is the advice."""
    if not dial.effect:
        return raw(dial.reference)
    if dial.turn in ("down", "up"):
        return f"{raw(dial.reference)} → {raw(dial.recommended)}"
    return f"{raw(dial.reference)}, tried {raw(tried)}"


def turn_mark(dial: Dial, at: tuple[float, float]) -> Mark:
    """The mark of a dial: its shape points where to turn."""
    return Mark(
        at=at,
        shape=TURN_SHAPES[dial.turn],
        ink=dial.turn,
        kind="turn",
        size=5.0,
        is_hollow=dial.turn == "inconclusive",
        title=TURN_WORDS[dial.turn],
    )
