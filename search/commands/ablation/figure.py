"""Figure of an ablation: the effect of each ingredient on accuracy, log-loss and time."""

from functools import partial

from search.commands.ablation.effects import DIVERGES, Ablation, Worth
from search.commands.ablation.text import TIME, interval, judgement
from search.records.metrics import NLL, TOP1
from search.report.figures.catalogue import Figure
from search.report.figures.forest import Cell, Panel, Row, forest, scaled
from search.verdict.schema import Estimate

NAME = "ablation"


_PANELS = (
    Panel(title="top-1, points", left="costs", right="adds", margin=TOP1.unit.scale * TOP1.margin),
    Panel(
        title="log-loss, nats",
        left="worse",
        right="better",
        margin=NLL.margin,
        is_reversed=True,
    ),
    Panel(title="time per step, %", left="faster with it", right="slower"),
)


def ablation_figure(ablation: Ablation) -> Figure:
    """Make the figure of an ablation, a row per ingredient, largest effect first."""
    rows = [
        Row(label=worth.label, words=judgement(worth), cells=_cells(worth))
        for worth in ablation.worths
    ]
    return Figure(
        name=NAME,
        title="What each ingredient of the recipe is worth",
        caption="The full recipe less the recipe without the ingredient; bars are intervals that "
        "hold together with 95 % per column, and a hollow mark is not distinguishable from no "
        "difference; what lies inside the grey zone is too small to matter.",
        draw=partial(forest, rows, _PANELS),
    )


def cell_of(estimate: Estimate, text: str, *, scale: float = 1.0, better: int) -> Cell:
    """Make the cell of a difference: blue if it is better beyond noise, orange if worse, else grey.

    Args:
        estimate: The difference with its interval.
        text: The difference in words.
        scale: Factor that converts it to the unit of the panel.
        better: 1 if a larger value is better, -1 if a smaller one is.
    """
    low, high = estimate.ci95
    is_open = low <= 0 <= high
    is_better = (low > 0) == (better > 0)
    return Cell(
        estimate=scaled(estimate, scale),
        text=text,
        ink="leave" if is_open else "best" if is_better else "reference",
        is_hollow=is_open,
    )


def _cells(worth: Worth) -> tuple[Cell, ...]:
    top1 = _or_diverges(worth, interval(TOP1.unit, worth.top1))
    nll = _or_diverges(worth, interval(NLL.unit, worth.nll))
    step_time = interval(TIME, worth.step_time)
    return (
        cell_of(worth.top1, top1, scale=100, better=1),
        cell_of(worth.nll, nll, better=-1),
        cell_of(worth.step_time, step_time, scale=100, better=-1),
    )


def _or_diverges(worth: Worth, text: str) -> str:
    return "diverges without" if worth.accuracy == DIVERGES and text == "unknown" else text
