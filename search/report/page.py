"""The report of a run: one HTML page that needs no network, with the verdict on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import write_text
from search.records.metrics import decided_by, metric_of
from search.records.trials import Trial
from search.report.answer import Answer, Progress, answer_of, progress_of
from search.report.class_section import ClassSection, class_section
from search.report.confirmed_recipes import ConfirmedRecipes, confirmed_recipes
from search.report.dial_table import DialTable, dial_table
from search.report.figures.catalogue import Figure, figures
from search.report.figures.response_model import least_trials
from search.report.leaderboard import Leaderboard, leaderboard
from search.report.more_images import MoreImages, more_images
from search.report.plan_section import PlanSection, Reproduction, plan_section, reproduction
from search.report.render import render
from search.report.runs_table import RunsTable, runs_table
from search.stages.analysis import Analysis
from search.verdict.learning_curve import is_too_short
from search.verdict.schema import Fit

FILE = "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The values that ``templates/report.html.jinja`` is filled with.

    Attributes:
        run_name: Name of the run.
        about: Line on data, model and training length, at the top.
        answer: The verdict's sentence and strip, or None while the run is in progress.
        progress: Progress of the run, or None at its end.
        figures: Figures for which the run has data, by name.
        dials: Table under the figure of the dials, or None without a verdict.
        fit: Fit states, or None without a verdict.
        confirmed: Table under the figure of the confirmation, or None before it.
        classes: Results by class under the confusion matrix; None if they are not known.
        more_images: Section on more training images, or None if nobody asked for it.
        least_trials: Number of trials below which no response curve is drawn.
        leaderboard: Recipes of the search in their order, or None if none ran to the end.
        runs: Table of all runs.
        plan: Section on the plan.
        again: Section on how to reproduce the run.
    """

    run_name: str
    about: str
    answer: Answer | None
    progress: Progress | None
    figures: Mapping[str, Figure]
    dials: DialTable | None
    fit: Fit | None
    confirmed: ConfirmedRecipes | None
    classes: ClassSection | None
    more_images: MoreImages | None
    least_trials: int
    leaderboard: Leaderboard | None
    runs: RunsTable
    plan: PlanSection
    again: Reproduction


def write_report(
    config: RunConfig, plan: Plan, trials: Sequence[Trial], analysis: Analysis | None
) -> None:
    """Write ``report.html`` into the run directory, replacing an old page in one step.

    Args:
        config: The run's settings.
        plan: The plan.
        trials: Trials of all stages, in the order they were started.
        analysis: The verdict and its evidence, or None while the run is in progress.
    """
    write_text(config.path / FILE, report(config, plan, trials, analysis))


def report(
    config: RunConfig, plan: Plan, trials: Sequence[Trial], analysis: Analysis | None
) -> str:
    """Render the page, which depends on nothing but the arguments."""
    metric = decided_by(config.metric)
    verdict = analysis.verdict if analysis else None
    is_confirmed = verdict is not None and verdict.confirmed is not None
    confusion = analysis.confusion if analysis else None
    shown = Report(
        run_name=config.run_name,
        about=f"{config.run_name} · {plan.data.name}, {plan.data.num_train} training images · "
        f"{plan.reference.model}, {plan.task.total_steps} steps · reference: {config.reference}",
        answer=answer_of(analysis) if analysis else None,
        progress=None if verdict else progress_of(config, plan, trials),
        figures=figures(plan, trials, analysis, metric, searched_by=metric_of(config.metric)),
        dials=dial_table(analysis) if analysis else None,
        fit=verdict.fit if verdict else None,
        confirmed=confirmed_recipes(plan, analysis) if analysis and is_confirmed else None,
        classes=class_section(confusion, plan.data.class_names) if confusion else None,
        more_images=more_images(verdict.learning_curve, too_short=is_too_short(verdict.fit))
        if verdict and verdict.learning_curve
        else None,
        least_trials=least_trials(plan.space.free_names),
        leaderboard=leaderboard(config, plan, trials),
        runs=runs_table(trials, metric, space=plan.space, shows_test=analysis is not None),
        plan=plan_section(config, plan),
        again=reproduction(config, plan, analysis),
    )
    return render("report.html.jinja", report=shown)
