"""The top of the report: the verdict's sentence and all dials in a strip, or the run's progress."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.metrics import METRICS, Metric, decided_by, metric_of
from search.records.trials import Trial
from search.report.figures.drawing import Drawing, svg
from search.report.figures.marks import TURN_WORDS, interval_text, turn_mark, values_text
from search.stages.selection import ranked
from search.verdict.schema import Dial, Verdict
from search.verdict.wording import (
    confirmed_sentence,
    count,
    exported_sentence,
    listed,
    metric_words,
    raw,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StripCell:
    """One dial in the strip at the top of the report.

    Attributes:
        strength: Name of the strength.
        turn: The dial's turn, which sets the colour.
        words: The turn in words.
        icon: Mark of the turn as SVG.
        value: The reference's value and, if it is turned, the new one.
        sure: The effect with its interval.
    """

    strength: str
    turn: str
    words: str
    icon: Markup
    value: str
    sure: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The top of the page of a run that has ended.

    Attributes:
        sentence: The verdict's sentence.
        basis: Sentence on the confirmation, empty if ``sentence`` holds it.
        strip: One cell per dial.
    """

    sentence: str
    basis: str
    strip: tuple[StripCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The top of the page of a run in progress.

    Attributes:
        so_far: Number of ended runs of each stage, in words.
        num_running: Number of running trials.
        best: Sentence on the best trial so far, with a warning; empty if there is none.
    """

    so_far: str
    num_running: int
    best: str


def answer_of(verdict: Verdict) -> Answer:
    """Build the top of the page from the verdict: its sentence, the confirmation and the dials."""
    metric = METRICS[verdict.metric]
    exported = exported_sentence(verdict.exported, verdict.exported_because)
    basis = f"{confirmed_sentence(verdict.confirmed, metric)} {exported}"
    head = verdict.sentence.replace(basis, "").strip()
    strip = tuple(_strip_cell(dial, metric) for dial in verdict.dials)
    return Answer(sentence=head or verdict.sentence, basis=basis if head else "", strip=strip)


def progress_of(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Progress:
    """Build the top of the page of a run in progress from its trials so far."""
    ended = Counter(trial.spec.stage for trial in trials if trial.status != "running")
    words = {"search": "search", "attribute": "experiment behind the turns", "confirm": "test"}
    parts = [
        f"{count(ended[stage], 'run')} of the {words[stage]} ended"
        for stage in config.stages
        if ended[stage]
    ]
    return Progress(
        so_far=listed(parts) if parts else "nothing has ended yet",
        num_running=sum(trial.status == "running" for trial in trials),
        best=_best_so_far(config, plan, trials),
    )


def _best_so_far(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> str:
    searched = [trial for trial in trials if trial.spec.stage == "search"]
    order = ranked(searched, metric=config.metric, num_val=plan.data.num_val)
    if not order:
        return ""
    first = decided_by(config.metric)
    name = first.on("val")
    return (
        f"Best full-length trial so far by {metric_words(config.metric)}: {order[0].spec.trial_id} "
        f"with {first.unit.value(order[0].records[-1].metrics[name])} {metric_words(name)}. The "
        "best of many owes part of its place to luck."
    )


def _strip_cell(dial: Dial, first: Metric) -> StripCell:
    is_turned = dial.turn in ("down", "up")
    effect = dial.effect.get(dial.decided_by or first.on("val"))
    metric = metric_of(str(dial.decided_by)) if dial.decided_by in dial.effect else first
    drawing = Drawing(width=16, height=16, items=(turn_mark(dial, (8.0, 8.0)),))
    mean, _, interval = interval_text(metric.name, effect).partition(" ")
    return StripCell(
        strength=dial.strength,
        turn=dial.turn,
        words=TURN_WORDS[dial.turn],
        icon=Markup(svg(drawing, label=TURN_WORDS[dial.turn], css_class="icon")),
        value=values_text(dial, 0.0) if is_turned else raw(dial.reference),
        sure=f"{mean} {metric.unit.word} {interval}" if mean else "not varied",
    )
