"""Writing of a run's files for people: tables and report while it runs, the rest at its end."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.recipes.data_remarks import timm_remarks, torchvision_remarks
from search.recipes.timm_export import timm_args, write_timm
from search.recipes.torchvision_export import torchvision_flags
from search.recipes.yaml_file import write_recipe
from search.records.files import write_json, write_text
from search.records.journal import Journal
from search.records.metrics import decided_by, metric_of
from search.records.trials import Trial
from search.report.figures.catalogue import figures, write_figures
from search.report.page import write_report
from search.report.tables import write_experiment, write_trials
from search.stages.analysis import Analysis
from search.verdict.wording import value_text
from spaces.recipe import Recipe

log = logging.getLogger("search")
TABLES_EVERY_S = 5.0
"""Fewest seconds between two versions of the tables, which are rewritten as a whole."""
REPORT_EVERY_S = 60.0
"""Fewest seconds between two reports of a run in progress."""
MOST_SHARE = 0.02
"""Largest share of the time spent on writing, which grows with the number of trials."""


def write_tables(config: RunConfig, plan: Plan, trials: Iterable[Trial]) -> None:
    """Write ``trials.csv`` and ``experiment.csv`` from the trials so far."""
    trials = list(trials)
    raw_of = plan.space.raw_of
    write_trials(
        config.path / "trials.csv",
        trials,
        raw=raw_of,
        effective=plan.effective_values,
    )
    write_experiment(config.path / "experiment.csv", trials, raw=raw_of)


def write_outputs(config: RunConfig, plan: Plan, journal: Journal, analysis: Analysis) -> None:
    """Write all files of a finished run; writing them again gives the same files."""
    write_tables(config, plan, journal.trials.values())
    write_json(config.path / "verdict.json", analysis.verdict.to_dict())
    verdict = analysis.verdict
    write_recipes(
        config,
        plan,
        analysis.exported,
        sentence=verdict.sentence,
        reasons=verdict.advised_because,
    )
    trials = list(journal.trials.values())
    write_report(config, plan, trials, analysis)
    first, searched_by = decided_by(config.metric), metric_of(config.metric)
    drawn = figures(plan, trials, analysis, first, searched_by=searched_by)
    write_figures(config.path / "figures", drawn)


def write_recipes(
    config: RunConfig,
    plan: Plan,
    recipe: Recipe,
    *,
    sentence: str,
    reasons: Mapping[str, str] | None = None,
    stem: str = "best",
) -> None:
    """Write a recipe for this project, for timm and for torchvision.

    Args:
        config: The run's settings.
        plan: The plan.
        recipe: The recipe.
        sentence: The verdict's sentence, written as a comment above the recipe.
        reasons: By strength, the reason for its value; also comments.
        stem: Begin of the names of the three files.
    """
    sizes = {"num_train": plan.data.num_train, "num_classes": plan.task.num_classes}
    comments = recipe_comments(config, plan, recipe, sentence=sentence, reasons=reasons or {})
    write_recipe(config.path / f"{stem}.yaml", recipe, comments=comments)
    files, class_names = plan.data.files, plan.data.class_names
    write_timm(
        config.path / f"{stem}.timm.yaml",
        timm_args(recipe, **sizes),
        of_data=timm_remarks(files, class_names),
    )
    write_text(
        config.path / f"{stem}.torchvision.txt",
        torchvision_flags(recipe, **sizes, of_data=torchvision_remarks(files)),
    )


def recipe_comments(
    config: RunConfig, plan: Plan, recipe: Recipe, *, sentence: str, reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """Write the comments above an exported recipe: the verdict, and the reason of each value."""
    held = plan.dial_values(recipe)
    said = (f"{name} {value_text(name, held[name])}: {why}" for name, why in reasons.items())
    return (f"{config.run_name}: {sentence}", *said)


class SoFar:
    """Writer of the tables and the report of a run in progress, at limited intervals."""

    def __init__(self, config: RunConfig, plan: Plan) -> None:
        self._config = config
        self._plan = plan
        self._is_off = False
        self._tables_due_at = 0.0
        self._report_due_at = 0.0

    def offer(self, trials: Collection[Trial]) -> None:
        """Write the tables and the report if their interval has passed, until writing fails."""
        if self._is_off:
            return
        try:
            self._write(trials)
        # Whatever the error: a report of the run so far is no reason to end the search.
        except Exception:
            self._is_off = True
            log.exception("tables and report of the run in progress are no longer written")

    def _write(self, trials: Collection[Trial]) -> None:
        started = time.monotonic()
        if started >= self._tables_due_at:
            write_tables(self._config, self._plan, trials)
            self._tables_due_at = _next_time(started, TABLES_EVERY_S)
        started = time.monotonic()
        if started >= self._report_due_at:
            write_report(self._config, self._plan, list(trials), None)
            self._report_due_at = _next_time(started, REPORT_EVERY_S)


def _next_time(started: float, every_s: float) -> float:
    now = time.monotonic()
    return now + max(every_s, (now - started) / MOST_SHARE)
