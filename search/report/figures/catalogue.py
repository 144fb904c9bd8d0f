"""The list of a run's figures, shared by the report and MLflow.

They are drawn as inline SVG rather than with a plotting library in the page: the report stays a few
hundred kilobytes instead of five megabytes, is sharp in print, follows a dark theme, and lays a
figure out anew for a phone instead of shrinking its words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from search.plan.plan import Plan
from search.records.files import write_text
from search.records.metrics import TOP1, Metric
from search.records.trials import Trial
from search.report.figures.best_so_far import best_so_far, scored_trials
from search.report.figures.confirmed import confirmation
from search.report.figures.confusion import MOST_CLASSES, confusion_figure
from search.report.figures.dials import tornado
from search.report.figures.drawing import Drawing, svg
from search.report.figures.ema_ladder import has_ladder, ladder
from search.report.figures.fit_map import errors, fit_map
from search.report.figures.learning_curves import curve_trials, learning_curves
from search.report.figures.responses import response_curves, search_evidence
from search.report.render import render
from search.stages.analysis import Analysis

WIDE_PX = 760.0
NARROW_PX = 356.0
_PNG_PX = 690.0
"""Width of the picture files: MLflow's descriptions show at most 700 pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure, with the function that draws it.

    Attributes:
        name: Stem of its file names.
        title: Title of the figure.
        caption: One sentence on how to read it.
        draw: Function that draws it for a width in pixels.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[float], Drawing]

    def html(self) -> Markup:
        """Render the wide and the narrow layout, of which ``figures.css`` shows the fitting one."""
        label = f"{self.title}. {self.caption}"
        return Markup("").join(
            Markup(svg(self.draw(width), label=label, css_class=css_class))
            for width, css_class in ((WIDE_PX, "wide"), (NARROW_PX, "narrow"))
        )

    def page(self) -> str:
        """Render the figure as an HTML page that needs no network."""
        return render("figure.html.jinja", figure=self)

    def _repr_html_(self) -> str:
        """Render the figure for a notebook."""
        return render(
            "notebook_table.html.jinja",
            title=self.title,
            sentences=(),
            rows=None,
            figure=self,
            remarks=(),
        )

    def png(self) -> bytes:
        """Render the wide layout as a PNG image."""
        from search.report.figures.png import png  # Matplotlib is slow to load.

        return png(self.draw(_PNG_PX))


def figures(
    plan: Plan,
    trials: Sequence[Trial],
    analysis: Analysis | None,
    metric: Metric = TOP1,
    *,
    searched_by: Metric = TOP1,
) -> dict[str, Figure]:
    """Build every figure for which the run has data, by name, in the order of the report.

    Args:
        plan: The plan.
        trials: Trials of all stages.
        analysis: The verdict and its evidence, or None while the run is in progress.
        metric: The metric that decides first.
        searched_by: The metric of the search.
    """
    # Runs on half of the training images are no result of these recipes.
    trials = [trial for trial in trials if trial.spec.num_train is None]
    best = analysis.best if analysis else None
    found = []
    if analysis is not None:
        draw = partial(tornado, analysis.verdict.dials, analysis.tried, metric=metric)
        found.append(_figure("dials", draw))
    if any(errors(trial, metric) for trial in trials):
        found.append(_figure("fit_map", partial(fit_map, plan, trials, best, metric=metric)))
    if analysis is not None and analysis.verdict.confirmed is not None:
        confirmed = analysis.verdict.confirmed
        recipes = (analysis.best, analysis.advice.recipe)
        draw = partial(confirmation, plan, trials, *recipes, confirmed, metric=metric)
        found.append(_figure("confirmed", draw))
    if analysis is not None and analysis.confusion is not None:
        draw = partial(confusion_figure, analysis.confusion, plan.data.class_names)
        is_whole = analysis.confusion.num_classes <= MOST_CLASSES
        found.append(_figure("confusion", draw, "confusion" if is_whole else "mix_ups"))
    if has_ladder(trials):
        found.append(_figure("ema_ladder", partial(ladder, plan, trials, metric=metric)))
    evidence = search_evidence(plan, trials, metric)
    if evidence is not None:
        found.append(_figure("responses", partial(response_curves, plan, evidence, best)))
    if curve_trials(plan, trials, best, metric):
        draw = partial(learning_curves, plan, trials, best, metric=metric)
        found.append(_figure("learning_curves", draw))
    if any(trial.is_full_length for trial, _ in scored_trials(trials, searched_by)):
        found.append(_figure("best_so_far", partial(best_so_far, plan, trials, metric=searched_by)))
    return {figure.name: figure for figure in found}


def write_figures(directory: Path, drawn: Mapping[str, Figure]) -> None:
    """Write each figure as ``<name>.png`` and ``<name>.html``; the directory is made."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        write_text(directory / f"{name}.html", figure.page())
        (directory / f"{name}.png").write_bytes(figure.png())


def _figure(name: str, draw: Callable[[float], Drawing], words: str = "") -> Figure:
    title, caption = _WORDS[words or name]
    return Figure(name=name, title=title, caption=caption, draw=draw)


_WORDS = {
    "dials": (
        "What each strength changes",
        "To the right of the line is better; a bar is the 95 % interval, and what lies inside "
        "the grey zone is too small to matter.",
    ),
    "fit_map": (
        "Fit map",
        "A recipe that underfits lies far to the right, one that overfits far above the dashed "
        "line; the large marks are means over the runs of one recipe.",
    ),
    "confirmed": (
        "Confirmed on test images",
        "A mark per fresh seed, an upright bar for their mean; below, the paired difference with "
        "its 95 % interval: it counts if it leaves out zero.",
    ),
    "confusion": (
        "Confusion matrix of the advised recipe",
        "A row is a true class, a column a predicted one, in percent of the test images of the "
        "row, as the mean over fresh seeds: the diagonal is right, all else is mistaken.",
    ),
    "mix_ups": (
        "Most frequent mix-ups of the advised recipe",
        "A true class and what its test images are taken for, those with most images first; a bar "
        "is their share of the images of the true class, as the mean over fresh seeds.",
    ),
    "ema_ladder": (
        "Weight averages of the same runs",
        "Each line is one run measured with several averages at once; where lines fall, the "
        "average lags behind the weights.",
    ),
    "responses": (
        "What the search saw",
        "Each circle is a full-length trial, the line a quadratic fit with its 95 % band: search "
        "evidence, which illustrates and decides nothing.",
    ),
    "learning_curves": (
        "Learning curves",
        "The weights that ship; dashed, the raw weights beside an average that lags: curves still "
        "rising at the end want more epochs.",
    ),
    "best_so_far": (
        "Score of each trial, and the best so far",
        "A line that has long been flat says that more trials of the same search would bring "
        "little; the best of many owes part of its score to luck, so the first few run again.",
    ),
}
