"""The figure of an ablation: what each ingredient is worth in accuracy, log-loss and time."""

from functools import partial

from search.commands.ablation.effects import DIVERGES, Ablation, Worth
from search.commands.ablation.text import interval, judgement
from search.report.figures.catalogue import Figure
from search.report.figures.forest import Panel, Row, forest
from search.verdict.judgement import LOG_LOSS_MARGIN
from search.verdict.schema import Estimate
from search.verdict.sequential import PRACTICAL_MARGIN

NAME = "ablation"


def ablation_figure(ablation: Ablation) -> Figure:
    """Rows are ingredients, most accuracy first."""
    worths = ablation.worths
    rows = [Row(label=worth.label, words=judgement(worth), inks=_inks(worth)) for worth in worths]
    panels = (
        Panel(
            title="top-1, points",
            estimates=tuple(scaled(w.top1, 100) for w in worths),
            texts=tuple(_or_diverges(w, interval(w.top1, scale=100, digits=1)) for w in worths),
            left="costs",
            right="adds",
            margin=100 * PRACTICAL_MARGIN,
        ),
        Panel(
            title="log-loss, nats",
            estimates=tuple(w.nll for w in worths),
            texts=tuple(_or_diverges(w, interval(w.nll, scale=1, digits=3)) for w in worths),
            left="worse",
            right="better",
            margin=LOG_LOSS_MARGIN,
            is_reversed=True,
        ),
        Panel(
            title="time per step, %",
            estimates=tuple(scaled(w.step_time, 100) for w in worths),
            texts=tuple(interval(w.step_time, scale=100, digits=1) for w in worths),
            left="faster with it",
            right="slower",
        ),
    )
    return Figure(
        name=NAME,
        title="What each ingredient of the recipe is worth",
        caption="The full recipe less the recipe without the ingredient; bars are intervals that "
        "hold together with 95 % per column, and a hollow mark is not distinguishable from no "
        "difference; what lies inside the grey zone is too small to matter.",
        draw=partial(forest, rows, panels),
    )


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The same in another unit; the factor is above 0."""
    low, high = estimate.ci95
    return Estimate(mean=factor * estimate.mean, ci95=(factor * low, factor * high))


def ink_of(estimate: Estimate, *, better: int) -> str:
    """Blue where an interval says better, orange where it says worse, grey otherwise."""
    low, high = estimate.ci95
    if low <= 0 <= high:
        return "leave"
    return "best" if (low > 0) == (better > 0) else "reference"


def _inks(worth: Worth) -> tuple[str, str, str]:
    return (
        ink_of(worth.top1, better=1),
        ink_of(worth.nll, better=-1),
        ink_of(worth.step_time, better=-1),
    )


def _or_diverges(worth: Worth, text: str) -> str:
    return "diverges without" if worth.accuracy == DIVERGES and text == "unknown" else text
