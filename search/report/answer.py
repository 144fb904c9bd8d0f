"""The top of the report: what is wrong, test results and turns, or the progress of the run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import LEARNING_CURVE, REFINE
from search.records.metrics import METRICS, Metric, decided_by
from search.records.trials import Trial
from search.report.figures.drawing import Drawing, svg
from search.report.figures.marks import TURN_WORDS, turn_mark
from search.stages.analysis import Analysis
from search.stages.selection import ranked
from search.verdict.answer.gains import ROLE_HEADS, gains, on_test_images
from search.verdict.answer.problem import first_sentence
from search.verdict.answer.sureness import GROUPS, Statement, statements
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.schema import Confirmed, Dial, Verdict
from search.verdict.wording import (
    confirmed_sentence,
    count,
    exported_sentence,
    listed,
    metric_words,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """The test result of one recipe as a bar.

    Attributes:
        role: Role of the recipe, which colours it.
        words: The recipe in words.
        value: The result as text.
        share: Length of the bar as a share of the longest one possible, in percent.
    """

    role: str
    words: str
    value: str
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnRow:
    """One setting in the table of turns.

    Attributes:
        said: How sure it is, from which value to which, and why.
        turn: Its turn, which colours the row.
        icon: Its mark as SVG.
        group: The group in words where it begins, else empty.
    """

    said: Statement
    turn: str
    icon: Markup
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The top of the page of a finished run.

    Attributes:
        sentence: Sentence on what is wrong with the reference.
        bars: Test results of four recipes, and of classifiers on frozen features.
        gains: What the advised recipe gains, the exported recipe if it is another one.
        rows: All settings, the surest first.
        groups: Meaning of the words for how sure a turn is.
    """

    sentence: str
    bars: tuple[Bar, ...]
    gains: str
    rows: tuple[TurnRow, ...]
    groups: tuple[tuple[str, str], ...]


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


def answer_of(analysis: Analysis) -> Answer:
    """Build the top of the page: what is wrong, test results, gains, and every setting."""
    verdict = analysis.verdict
    metric = METRICS[verdict.metric]
    dials = {dial.strength: dial for dial in verdict.dials}
    said = statements(verdict.dials, analysis.tried)
    firsts = {one.group: one.strength for one in reversed(said)}
    return Answer(
        sentence=first_sentence(verdict.fit, verdict.dials, verdict.confirmed, metric),
        bars=_bars(verdict.confirmed, metric),
        gains=_gains(verdict, metric),
        rows=tuple(
            TurnRow(
                said=one,
                turn=dials[one.strength].turn,
                icon=_icon(dials[one.strength]),
                group=one.group if firsts[one.group] == one.strength else "",
            )
            for one in said
        ),
        groups=tuple((group, GROUPS[group]) for group in GROUPS if group in firsts),
    )


def _bars(found: Confirmed | None, metric: Metric) -> tuple[Bar, ...]:
    """Reference, its raw weights, advised recipe, the best without a search, frozen features."""
    values = on_test_images(found, metric)
    if found is None or not values:
        return ()
    free = found.free if found.free not in ("reference", "reference_raw") else "scaled"
    frozen = [role for role in FROZEN_ROLES if getattr(found, role)]
    roles = ("reference", "reference_raw", "advised", free, *frozen)
    numbers = {role: getattr(found, role).get(metric.on("test")) for role in roles}
    most = 1.0 if metric.is_share else max(x for x in numbers.values() if x is not None)
    return tuple(
        Bar(
            role=role,
            words=ROLE_HEADS[role],
            value=values[role],
            share=100.0 * (number or 0.0) / most if most > 0.0 else 0.0,
        )
        for role, number in numbers.items()
    )


def _gains(verdict: Verdict, metric: Metric) -> str:
    found = gains(verdict.confirmed, metric)
    if not found:
        return confirmed_sentence(verdict.confirmed, metric)
    said = f"Gain of the advised recipe: {'; '.join(gain.text for gain in found)}."
    if verdict.exported == "advised" and not verdict.exported_because:
        return said
    return f"{said} {exported_sentence(verdict.exported, verdict.exported_because)}"


def progress_of(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Progress:
    """Build the top of the page of a run in progress from its trials so far."""
    ended = Counter(trial.spec.stage for trial in trials if trial.status != "running")
    words = {"search": "search", "attribute": "experiment behind the turns", "confirm": "test"}
    words |= {REFINE: "values between", LEARNING_CURVE: "half of the images"}
    parts = [
        f"{count(ended[stage], 'run')} of the {words[stage]} ended"
        for stage in (*config.stages, REFINE, LEARNING_CURVE)
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


def _icon(dial: Dial) -> Markup:
    drawing = Drawing(width=16, height=16, items=(turn_mark(dial, (8.0, 8.0)),))
    return Markup(svg(drawing, label=TURN_WORDS[dial.turn], css_class="icon"))
