"""The figure of a comparison: what each factor changes, one panel per metric."""

from functools import partial

from search.commands.compare.answer.number_text import digits_of, effect_words
from search.commands.compare.answer.sentences import FAILS, WORDS
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.report.figures.catalogue import Figure
from search.report.figures.forest import Cell, Panel, Row, forest
from search.verdict.schema import Estimate

NAME = "factors"
MOST_PANELS = 2
_INKS = {"helps": "best", "hurts": "reference", "same": "leave", "open": "inconclusive"}


def factors_figure(verdict: Verdict) -> Figure:
    """Rows are factors in the order of the configuration; to the right of the line is better.

    Where it is not known what is better, to the right is more.
    """
    measures = verdict.request.measures[:MOST_PANELS]
    panels = [
        Panel(
            title=measure.name,
            left="less" if measure.larger_is_better is None else "worse",
            right="more" if measure.larger_is_better is None else "better",
            margin=verdict.metric.margin if number == 0 else 0.0,
            is_reversed=measure.larger_is_better is False,
            is_whole=True,
        )
        for number, measure in enumerate(measures)
    ]
    rows = []
    is_whole = verdict.confirmation is not None and bool(verdict.confirmation.better)
    for factor, found in verdict.factors:
        cells = []
        for number, measure in enumerate(measures):
            effect = found.effects[measure.text]
            metric = verdict.metric if number == 0 else digits_of(verdict.metric, measure, effect)
            estimate = Estimate(mean=effect.mean, ci95=effect.ci95) if effect.is_estimable else None
            cells.append(
                Cell(
                    estimate=estimate,
                    text=effect_words(effect, metric),
                    ink=_INKS[found.outcome],
                    is_hollow=found.outcome == "open",
                    missing=FAILS if found.by_runs_that_fail else "cannot be told from these runs",
                )
            )
        change = f"{_short(factor.words(REFERENCE))} → {_short(factor.words(BEST))}"
        # Another configuration than the factors advise one by one may be written out.
        outcome = WORDS[found.outcome]
        words = f"on average: {outcome}" if is_whole else f"{outcome} · {change}"
        rows.append(Row(label=found.name, words=words, cells=tuple(cells)))
    return Figure(
        name=NAME,
        title="What each difference changes",
        caption="From your value to the best's, averaged over the values of the others; bars are "
        "95 % intervals, a hollow mark is not decided, the grey zone is too small to matter.",
        draw=partial(forest, rows, panels),
    )


def _short(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
