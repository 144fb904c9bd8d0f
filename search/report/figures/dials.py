"""The dials as a forest plot: what each strength changes in accuracy and in log-loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.records.metrics import NLL, TOP1
from search.report.figures.drawing import Drawing
from search.report.figures.forest import Cell, Panel, Row, forest, scaled
from search.report.figures.turns import TURN_WORDS, interval_text, turn_mark, values_text
from search.verdict.schema import Dial


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measure:
    """One metric, shown as ``scale`` times its value."""

    metric: str
    scale: float
    panel: Panel


_MEASURES = (
    _Measure(
        metric="val/top1",
        scale=100.0,
        panel=Panel(
            title="validation top-1, points",
            left="worse",
            right="better",
            margin=TOP1.unit.scale * TOP1.margin,
        ),
    ),
    _Measure(
        metric="val/nll",
        scale=1.0,
        panel=Panel(
            title="validation log-loss, nats",
            left="worse",
            right="better",
            margin=NLL.margin,
            is_reversed=True,
        ),
    ),
)


def tornado(dials: Sequence[Dial], tried: Mapping[str, float], width: float) -> Drawing:
    """One row per strength and one panel per metric; to the right of the line is better.

    Args:
        dials: All of them.
        tried: The best's raw values, which the effects are about.
        width: In pixels.
    """
    rows = [
        Row(
            label=dial.strength,
            words=f"{TURN_WORDS[dial.turn]} · {values_text(dial, tried[dial.strength])}",
            cells=tuple(_cell(dial, measure) for measure in _MEASURES),
            mark=turn_mark(dial, (0.0, 0.0)),
        )
        for dial in dials
    ]
    return forest(rows, [measure.panel for measure in _MEASURES], width)


def _cell(dial: Dial, measure: _Measure) -> Cell:
    effect = dial.effect.get(measure.metric)
    return Cell(
        estimate=None if effect is None else scaled(effect, measure.scale),
        text=interval_text(measure.metric, effect),
        ink=dial.turn,
        is_hollow=dial.turn == "inconclusive",
        missing="cannot be told from these runs" if dial.effect else "not varied",
    )
