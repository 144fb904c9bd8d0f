"""The report's table of dials: each one in raw and effective values, with its effects."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.records.metrics import ALWAYS, METRICS, Metric
from search.report.figures.marks import TURN_WORDS, interval_text, values_text
from search.stages.analysis import Analysis
from search.verdict.schema import Dial
from search.verdict.wording import count, listed, metric_words, pool_sentence, runs_range
from spaces.units import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """An effect and its interval as text, in the unit of the metric."""

    mean: str
    interval: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DialRow:
    """One row of the table of dials.

    Attributes:
        strength: Name of the strength.
        turn: The dial's turn, which sets the colour.
        words: The turn in words.
        values: Raw values of the reference and of the recommendation.
        effective: The same in the effective unit.
        effects: One effect per metric; None where it is unknown.
        rests_on: Number of runs, and the metric that decided.
    """

    strength: str
    turn: str
    words: str
    values: str
    effective: str
    effects: tuple[Effect | None, ...]
    rests_on: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DialTable:
    """The table of dials, with the sentences under it.

    Attributes:
        metrics: Heads of the columns of effects.
        rows: One row per dial, in the order of the verdict.
        remarks: Remarks on dials, each after the names of the strengths that it applies to.
        sentences: Sentences on the looks at the experiment, on interactions, and on best trials
            that lie at one end of an axis.
        holds_for: Sentence on what the intervals hold for; empty without any.
    """

    metrics: tuple[str, ...]
    rows: tuple[DialRow, ...]
    remarks: tuple[str, ...]
    sentences: tuple[str, ...]
    holds_for: str


def dial_table(analysis: Analysis) -> DialTable:
    """Build the table of dials with its remarks, interactions and warnings."""
    verdict = analysis.verdict
    shown = tuple(dict.fromkeys((METRICS[verdict.metric], *ALWAYS)))
    by_remark: dict[str, list[str]] = {}
    for dial in verdict.dials:
        by_remark.setdefault(dial.remark, []).append(f"`{dial.strength}`")
    return DialTable(
        metrics=_heads(shown),
        rows=tuple(_dial_row(dial, analysis.tried[dial.strength], shown) for dial in verdict.dials),
        remarks=tuple(f"{listed(names)}: {text}." for text, names in by_remark.items() if text),
        sentences=(
            *filter(None, [verdict.experiment]),
            *verdict.interactions,
            *(f"How far it may be set back: {one.sentence}." for one in verdict.refined),
            *(warning.message for warning in analysis.edges),
        ),
        holds_for=pool_sentence(verdict.dials),
    )


def _heads(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Return the column heads, each with its unit if the column before has another."""
    units = [None, *(metric.unit for metric in metrics)]
    return tuple(
        metric.head if metric.unit == before else f"{metric.head}, {metric.unit.word}"
        for metric, before in zip(metrics, units, strict=False)
    )


def _dial_row(dial: Dial, tried: float, metrics: Sequence[Metric]) -> DialRow:
    effective = plain(dial.reference_effective)
    if dial.recommended != dial.reference:
        effective += f" → {plain(dial.recommended_effective)}"
    return DialRow(
        strength=dial.strength,
        turn=dial.turn,
        words=TURN_WORDS[dial.turn],
        values=values_text(dial, tried),
        effective=f"{effective} {dial.effective_unit}",
        effects=tuple(_effect(metric.on("val"), dial) for metric in metrics),
        rests_on=_rests_on(dial),
    )


def _effect(metric: str, dial: Dial) -> Effect | None:
    mean, _, interval = interval_text(metric, dial.effect.get(metric)).partition(" ")
    return Effect(mean=mean, interval=interval) if mean else None


def _rests_on(dial: Dial) -> str:
    if not dial.effect:
        return "not varied"
    basis = count(dial.num_runs, "run")
    if dial.turn == "inconclusive":
        more = dial.more_runs
        return f"{basis}; {runs_range(more)} would decide" if more else f"{basis}, open"
    return f"{basis}, {metric_words(dial.decided_by)}" if dial.decided_by else basis
