"""Figure of the dials as a forest plot: effects on the deciding metric and on log-loss."""

from collections.abc import Mapping, Sequence

from search.records.metrics import NLL, TOP1, Metric
from search.report.figures.drawing import Drawing
from search.report.figures.forest import Cell, Panel, Row, forest, scaled
from search.report.figures.marks import TURN_WORDS, interval_text, turn_mark, values_text
from search.verdict.schema import Dial
from search.verdict.wording import metric_label


def tornado(
    dials: Sequence[Dial], tried: Mapping[str, float], width: float, *, metric: Metric = TOP1
) -> Drawing:
    """Draw one row per strength and one panel per metric; better is to the right of the line.

    Args:
        dials: All dials.
        tried: Raw values of the best recipe, at which the effects are measured.
        width: Width of the drawing in pixels.
        metric: The metric that decides first; log-loss is shown beside it.
    """
    shown = (metric, NLL)
    rows = [
        Row(
            label=dial.strength,
            words=f"{TURN_WORDS[dial.turn]} · {values_text(dial, tried[dial.strength])}",
            cells=tuple(_cell(dial, column) for column in shown),
            mark=turn_mark(dial, (0.0, 0.0)),
        )
        for dial in dials
    ]
    return forest(rows, [_panel(column) for column in shown], width)


def _panel(metric: Metric) -> Panel:
    return Panel(
        title=f"{metric_label(metric.on('val'))}, {metric.unit.word}",
        left="worse",
        right="better",
        margin=metric.unit.scale * metric.margin,
        is_reversed=not metric.larger_is_better,
    )


def _cell(dial: Dial, metric: Metric) -> Cell:
    effect = dial.effect.get(metric.on("val"))
    return Cell(
        estimate=None if effect is None else scaled(effect.inside(metric.unit), metric.unit.scale),
        text=interval_text(metric.name, effect),
        ink=dial.turn,
        is_hollow=dial.turn == "inconclusive",
        missing="cannot be told from these runs" if dial.effect else "not varied",
    )
