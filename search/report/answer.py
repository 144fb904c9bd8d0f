"""The report's answer: the sentence, the dials, the fit, and what was confirmed."""

from collections import Counter
from collections.abc import Mapping, Sequence

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.trials import Trial
from search.report.figures.drawing import Drawing, svg
from search.report.figures.roles import WORDS
from search.report.figures.turns import TURN_WORDS, interval_text, turn_mark, values_text
from search.report.html import Markup, breakable, coded, element, joined, table
from search.stages.analysis import Analysis
from search.stages.selection import ranked
from search.verdict.schema import Dial, Verdict
from search.verdict.wording import (
    change_with_interval,
    confirmed_sentence,
    count,
    listed,
    metric_words,
    percent,
    raw,
)
from spaces.units import plain

_MEASURED = {
    "clean_train/top1": "clean-train top-1",
    "val/top1": "validation top-1",
    "test/top1": "test top-1",
    "test/nll": "test log-loss",
}


def headline(verdict: Verdict) -> Markup:
    """The sentence: what to turn in large letters, what is confirmed under it, then a strip."""
    basis = confirmed_sentence(verdict.confirmed, verdict.exported, verdict.fit)
    head = verdict.sentence.replace(basis, "").strip()
    return joined(
        [
            element("h1", head or verdict.sentence),
            element("p", basis, css_class="lead") if head else None,
            element("ul", *(_cell(dial) for dial in verdict.dials), css_class="strip"),
        ]
    )


def in_progress(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> Markup:
    """What stands in place of the sentence while the run goes on."""
    ended = Counter(trial.spec.stage for trial in trials if trial.status != "running")
    running = sum(trial.status == "running" for trial in trials)
    words = {"search": "search", "attribute": "experiment behind the dials", "confirm": "test"}
    parts = [
        f"{count(ended[stage], 'run')} of the {words[stage]} ended"
        for stage in config.stages
        if ended[stage]
    ]
    so_far = listed(parts) if parts else "nothing has ended yet"
    return joined(
        [
            element("h1", "In progress: no verdict yet."),
            element(
                "p",
                f"So far: {so_far}; {running} running now. Which strengths to turn is decided by "
                "the experiment that follows the search, so nothing below is an answer. "
                "Load this page again for news.",
                css_class="lead",
            ),
            element("p", _best_so_far(config, plan, trials)),
        ]
    )


def dial_section(analysis: Analysis) -> Markup:
    """The table under the tornado, interactions, crowded ends, and how decisions were made."""
    verdict = analysis.verdict
    head = (
        "strength",
        "raw, effective",
        "top-1, points",
        "log-loss, nats",
        "refined log-loss",
        "rests on",
    )
    rows = [_dial_row(dial, analysis.tried[dial.strength]) for dial in verdict.dials]
    by_remark: dict[str, list[str]] = {}
    for dial in verdict.dials:
        by_remark.setdefault(dial.remark, []).append(f"`{dial.strength}`")
    remarks = [
        element("li", coded(f"{listed(names)}: {remark}."))
        for remark, names in by_remark.items()
        if remark
    ]
    return joined(
        [
            table(head, rows, numeric=(2, 3, 4), css_class="cards"),
            element("ul", *remarks, css_class="notes") if remarks else None,
            *(element("p", coded(said)) for said in (*verdict.interactions, *analysis.edges)),
            element(
                "p",
                "An effect is what changes on full-length runs when only this strength goes from "
                "the reference's value to the other one, averaged over the levels of the others. "
                "Refined log-loss is log-loss after temperature scaling: where only the plain one "
                "moves, it is a calibration matter. The bars are plain 95 % intervals; a decision "
                "must hold on a wider one that allows for all dials and for looking more than "
                "once, so a bar may leave out zero and its dial still be open.",
                css_class="fine",
            ),
        ]
    )


def fit_section(verdict: Verdict) -> Markup:
    """The fit state of reference and best, with the reasons."""
    states = (("reference", verdict.fit.reference), ("best", verdict.fit.best))
    return joined(
        [
            element(
                "p",
                *(
                    joined(["The ", role, " is ", element("b", state), ". "])
                    for role, state in states
                ),
            ),
            element(
                "ul", *(element("li", reason) for reason in verdict.fit.reasons), css_class="notes"
            ),
        ]
    )


def confirmed_section(plan: Plan, analysis: Analysis) -> Markup:
    """Means over fresh seeds of all recipes that were confirmed, and what is exported."""
    verdict = analysis.verdict
    shown = [role for role in WORDS if role in analysis.measured]
    recipes = {"reference": plan.reference, **plan.anchors, "best": analysis.best}
    rows = [
        [words, *(_measured(metric, analysis.measured[role]) for role in shown)]
        for metric, words in _MEASURED.items()
    ]
    values = [plan.dial_values(recipes[role]) for role in shown]
    rows += [
        [element("code", name), *(raw(held[name]) for held in values)] for name in plan.dial_names
    ]
    gains = verdict.confirmed.best_minus_reference if verdict.confirmed else {}
    exported = {"best": "the best recipe", "scaled": "the size-scaled default"}
    sentences = [
        f"{change_with_interval(metric, gain)} of {metric_words(metric)}"
        for metric, gain in gains.items()
    ]
    words = f"Best minus reference: {listed(sentences)}. " if sentences else ""
    return joined(
        [
            element(
                "p",
                words,
                "Exported is ",
                element("b", exported.get(verdict.exported, "the reference")),
                f". The {plan.data.num_test} test images were looked at once, after everything "
                "else was decided; the intervals are paired over seeds and images.",
            ),
            table(
                ["mean", *(WORDS[role] for role in shown)],
                rows,
                numeric=range(1, len(shown) + 1),
            ),
        ]
    )


def _best_so_far(config: RunConfig, plan: Plan, trials: Sequence[Trial]) -> str:
    searched = [trial for trial in trials if trial.spec.stage == "search"]
    order = ranked(searched, metric=config.metric, num_val=plan.data.num_val)
    if not order:
        return ""
    return (
        f"Best full-length trial so far by {metric_words(config.metric)}: {order[0].spec.trial_id} "
        f"with {percent(order[0].records[-1].metrics['val/top1'])} validation top-1. The best of "
        "many owes part of its place to luck."
    )


def _cell(dial: Dial) -> Markup:
    """One dial of the strip: what to do at one glance, how sure under it."""
    is_turned = dial.turn in ("down", "up")
    value = raw(dial.reference)
    effect = dial.effect.get(dial.decided_by or "val/top1")
    metric = dial.decided_by if dial.decided_by in dial.effect else "val/top1"
    drawing = Drawing(width=16, height=16, items=(turn_mark(dial, (8.0, 8.0)),))
    mean, _, interval = interval_text(str(metric), effect).partition(" ")
    unit = "points" if str(metric).endswith("top1") else "nats"
    sure = f"{mean} {unit} {interval}" if mean else "not varied"
    return element(
        "li",
        element(
            "span",
            Markup(svg(drawing, label=TURN_WORDS[dial.turn], css_class="icon")),
            TURN_WORDS[dial.turn],
            css_class=f"turn {dial.turn}",
        ),
        element("b", breakable(dial.strength)),
        element("span", values_text(dial, 0.0) if is_turned else value, css_class="value"),
        element("span", sure, css_class="sure"),
        css_class=dial.turn,
    )


def _dial_row(dial: Dial, tried: float) -> list[str]:
    effective = plain(dial.reference_effective)
    if dial.recommended != dial.reference:
        effective += f" → {plain(dial.recommended_effective)}"
    turn = element("span", TURN_WORDS[dial.turn], css_class=f"turn {dial.turn}")
    return [
        _stacked(element("code", dial.strength), turn),
        _stacked(values_text(dial, tried), f"{effective} {dial.effective_unit}"),
        *(_effect(metric, dial) for metric in ("val/top1", "val/nll", "val/nll_refined")),
        _rests_on(dial),
    ]


def _effect(metric: str, dial: Dial) -> Markup:
    mean, _, interval = interval_text(metric, dial.effect.get(metric)).partition(" ")
    return _stacked(mean, interval) if mean else Markup("")


def _stacked(upper: str, lower: str) -> Markup:
    return element("div", upper, Markup("<br>"), element("small", lower))


def _rests_on(dial: Dial) -> str:
    if not dial.effect:
        return "not varied"
    basis = count(dial.num_runs, "run")
    if dial.turn == "inconclusive":
        more = dial.runs_to_decide
        return f"{basis}, about {more} more would decide" if more else f"{basis}, open"
    return f"{basis}, {metric_words(dial.decided_by)}" if dial.decided_by else basis


def _measured(metric: str, values: Mapping[str, float]) -> str:
    value = values.get(metric)
    if value is None:
        return ""
    return percent(value) if metric.endswith("top1") else f"{value:.3f}"
