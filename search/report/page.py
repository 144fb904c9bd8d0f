"""The report of a run: one page that opens anywhere, without a network, answer first."""

from collections.abc import Mapping, Sequence
from html import escape

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import write_text
from search.records.trials import Trial
from search.report import style as report_style
from search.report.answer import (
    confirmed_section,
    dial_section,
    fit_section,
    headline,
    in_progress,
)
from search.report.figures import catalogue as drawn
from search.report.figures.catalogue import Figure, figures
from search.report.figures.response_model import MIN_TRIALS
from search.report.html import Markup, element, joined
from search.report.plan_section import plan_section, reproduce_section
from search.report.runs_table import trial_section
from search.stages.analysis import Analysis

FILE = "report.html"

_MISSING = {
    "dials": "The experiment that decides the dials has not ended yet.",
    "fit_map": "No run has reached full length yet.",
    "confirmed": "Nothing is confirmed on test images yet; nobody looks at them before the end.",
    "ema_ladder": "No run has been measured with two different averages: reference and best "
    "average alike, or the experiment has not begun.",
    "responses": f"Fewer than {MIN_TRIALS} full-length trials lie inside the space that was "
    "searched: too few to draw a curve through.",
    "learning_curves": "No anchor has been evaluated at two epochs: without a search, runs are "
    "measured at their end only.",
}
_LADDER = (
    "Averaging does not change how the weights move, so each run of the experiment carries the "
    "reference's average, the best's and none at once, and the comparison is free of all other "
    "differences."
)
_RESPONSES = (
    "Under each axis: the raw value, and below it what that amounts to in this run. An arrow says "
    "that the reference lies outside of what was searched. Importances are Optuna's fANOVA on the "
    "same trials. None of this enters a dial."
)


def write_report(
    config: RunConfig, plan: Plan, trials: Sequence[Trial], analysis: Analysis | None
) -> None:
    """Write ``report.html`` into the run directory; the old page stays whole until the new one is.

    Args:
        config: What was asked.
        plan: The plan.
        trials: Of all stages, in the order they were started.
        analysis: The verdict and its evidence, or None while the run goes on.
    """
    write_text(config.path / FILE, report(config, plan, trials, analysis))


def report(
    config: RunConfig, plan: Plan, trials: Sequence[Trial], analysis: Analysis | None
) -> str:
    """The page; the same records make the same page."""
    shown = figures(plan, trials, analysis)
    verdict = analysis.verdict if analysis else None
    tables: dict[str, Markup] = {}
    if analysis is not None and verdict is not None:
        tables["dials"] = dial_section(analysis)
        tables["fit_map"] = fit_section(verdict)
        if verdict.confirmed is not None:
            tables["confirmed"] = confirmed_section(plan, analysis)
    tables["ema_ladder"] = element("p", _LADDER, css_class="fine")
    tables["responses"] = element("p", _RESPONSES, css_class="fine")
    sections = [
        _section("dials", "The dials", shown, tables),
        _section("fit_map", "Fit: what they get wrong, seen and unseen", shown, tables),
        _section("confirmed", "Confirmed on test images", shown, tables),
        _section("ema_ladder", "The weight average", shown, tables),
        _section("responses", "Response curves of the search", shown, tables),
        _section("learning_curves", "Learning curves", shown, tables),
        _plain_section("trials", "All runs", trial_section(trials, shows_test=bool(analysis))),
        _plain_section("plan", "The plan", plan_section(config, plan)),
        _plain_section("reproduce", "How to reproduce", reproduce_section(config, plan, analysis)),
    ]
    top = headline(verdict) if verdict else in_progress(config, plan, trials)
    return _page(config, plan, top, sections, is_done=verdict is not None)


def _page(
    config: RunConfig, plan: Plan, top: Markup, sections: Sequence[Markup], *, is_done: bool
) -> str:
    about = (
        f"{config.run_name} · {plan.data.name}, {plan.data.num_train} training images · "
        f"{plan.reference.model}, {plan.task.total_steps} steps · reference: {config.reference}"
    )
    state = "which strengths to turn" if is_done else "in progress"
    links = [element("a", name, href=f"#{anchor}") for anchor, name in _LINKS.items()]
    body = joined(
        [
            element("header", element("p", about, css_class="about"), top, element("nav", *links)),
            element("main", *sections),
            element("script", Markup(report_style.SCRIPT)),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(config.run_name)}: {state}</title>\n"
        f"<style>{drawn.STYLE}{report_style.STYLE}</style>\n</head>\n<body>{body}</body>\n</html>\n"
    )


def _section(
    name: str, title: str, shown: Mapping[str, Figure], tables: Mapping[str, Markup]
) -> Markup:
    figure = shown.get(name)
    if figure is None:
        return _plain_section(name, title, element("p", _MISSING[name], css_class="missing"))
    drawing = element(
        "figure", element("figcaption", figure.caption), Markup(figure.html()), data_figure=name
    )
    return _plain_section(name, title, joined([drawing, tables.get(name)]))


def _plain_section(name: str, title: str, body: Markup) -> Markup:
    return element("section", element("h2", title), body, id=name)


_LINKS = {
    "dials": "dials",
    "fit_map": "fit",
    "confirmed": "test",
    "ema_ladder": "average",
    "responses": "response",
    "learning_curves": "curves",
    "trials": "all runs",
    "plan": "plan",
    "reproduce": "reproduce",
}
