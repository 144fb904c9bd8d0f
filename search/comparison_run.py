"""A run that compares whole recipes from top to bottom: an ablation, or a contest of optimizers.

It shares everything with a search except what is run and what is said of it: plan, journal,
conductor, workers, tracking and the way to go on with it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from search import tune_run
from search.ablation_variants import FULL, full_recipe
from search.comparison_page import Page, comparison_page
from search.conductor import Conductor, Stage
from search.config import RunConfig
from search.console import make_console
from search.errors import RunFailed, RunInterrupted
from search.figures import Figure, write_figures
from search.files import make_writable, only_driver, read_json, write_json, write_text
from search.journal import Journal
from search.outputs import effective
from search.pipeline import STARTED_AT, STORE_DIR
from search.plan import Plan, load_images, make_plan
from search.plan_text import duration, task_line
from search.progress import Progress
from search.run_tracking import make_tracker, open_search
from search.session import log_file, terminated_like_interrupted
from search.tables import write_rows, write_trials
from search.tracking import Tracker
from search.tracking_answer import Answer
from search.trials import Trial
from spaces.errors import InputError
from trainable.datasets import Dataset

log = logging.getLogger("search")


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a comparison found.

    Attributes:
        data: Plain values for the JSON file.
        rows: Lines of the CSV file.
        answer: For the tracking store.
        figure: What is drawn.
        lines: What the terminal says before the table of ``answer``.
        remarks: What it says after it.
    """

    data: dict[str, Any]
    rows: Sequence[dict[str, object]]
    answer: Answer
    figure: Figure
    lines: Sequence[str]
    remarks: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What tells one kind of comparison from another.

    Attributes:
        kind: Stem of its files, and its tag in the tracking store.
        stages: Makers of its stages.
        totals: Expected trials by stage.
        plan_lines: What will be run, in words.
        estimate_s: Expected wall-clock in seconds, or None if it cannot be told.
        find: Draws the conclusions from the journal.
    """

    kind: str
    stages: Callable[[RunConfig, Plan, Journal], list[Callable[[], Stage]]]
    totals: Callable[[RunConfig, Plan], dict[str, int]]
    plan_lines: Callable[[RunConfig, Plan], list[str]]
    estimate_s: Callable[[RunConfig, Plan, Dataset], float | None]
    find: Callable[[RunConfig, Plan, Sequence[Trial]], Findings]

    def result_path(self, config: RunConfig) -> Path:
        """The file with the result, which is there once every run has ended."""
        return config.path / f"{self.kind}.json"


def compare_new(config: RunConfig, comparison: Comparison) -> None:
    """Do a comparison from the beginning.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
    """
    if config.path.exists() and any(config.path.iterdir()):
        raise InputError(
            f"{config.path} exists; go on with `make resume RUN={config.path}`, "
            "or choose another RUN_NAME."
        )
    plan, dataset = _plan(config)
    console = make_console()
    for line in (task_line(plan), *(f"  {note}" for note in plan.notes)):
        say(console, line)
    for line in comparison.plan_lines(config, plan):
        say(console, line)
    estimate_s = comparison.estimate_s(config, plan, dataset)
    if estimate_s is not None:
        say(console, f"About {duration(estimate_s)} in all. Test images are not touched.\n")
    make_writable(config.path)
    write_json(config.path / "plan.json", {**plan.to_dict(), "estimate_s": estimate_s})
    # Last, for a directory with a config is a run that can be gone on with.
    write_json(config.path / "config.json", config.to_dict())
    _work(config, plan, dataset, comparison, console)


def compare_again(config: RunConfig, comparison: Comparison) -> None:
    """Go on with an interrupted comparison; a finished one is only written out again.

    Raises:
        InputError: If its dataset is not the same any more.
    """
    plan = Plan.from_dict(read_json(config.path / "plan.json"), config=config)
    dataset = load_images(config, image_size=plan.reference.image_size)
    if dataset.digest != plan.data.digest:
        raise InputError(
            f"{config.dataset} has changed since {config.path} began; start a new run on the new "
            "data."
        )
    _work(config, plan, dataset, comparison, make_console())


def say(console: Console, text: str) -> None:
    """Print text as it is: a path must not be broken, a name in brackets is no markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _plan(config: RunConfig) -> tuple[Plan, Dataset]:
    if config.reference != FULL:
        return make_plan(config)
    plan, dataset = make_plan(replace(config, reference="imagenet"))
    recipe, notes = full_recipe(plan.reference, plan.task)
    anchors = {**plan.anchors, "reference": recipe}
    return replace(plan, anchors=anchors, notes=(*notes, *plan.notes)), dataset


def _work(
    config: RunConfig, plan: Plan, dataset: Dataset, comparison: Comparison, console: Console
) -> None:
    """Everything after the plan; whatever happens, the run directory can be gone on from."""
    with (
        only_driver(config.path),
        log_file(config.path / "log.txt"),
        terminated_like_interrupted(),
    ):
        tracker = make_tracker(config, plan, store_dir=STORE_DIR)
        journal = Journal(config.path)
        try:
            open_search(tracker, config, plan, kind=comparison.kind)
            tracker.sync(journal.trials.values())
            if not comparison.result_path(config).exists():
                _train(config, plan, dataset, journal, tracker, comparison, console)
            _tell(config, plan, journal, tracker, comparison, console)
        except KeyboardInterrupt:
            tracker.close_search("KILLED", verdict=None, artifacts=None)
            raise RunInterrupted(
                f"Interrupted. Go on with: make resume RUN={config.path}"
            ) from None
        except Exception as error:
            log.exception("the run failed")
            tracker.close_search("FAILED", verdict=None, artifacts=None)
            raise RunFailed(
                f"{type(error).__name__}: {error} The log is {config.path / 'log.txt'}; "
                f"go on with: make resume RUN={config.path}"
            ) from error
        finally:
            journal.close()
            ray.shutdown()
    for problem in tracker.problems:
        console.print(f"Tracking: {problem}", style="yellow")


def _train(
    config: RunConfig,
    plan: Plan,
    dataset: Dataset,
    journal: Journal,
    tracker: Tracker,
    comparison: Comparison,
    console: Console,
) -> None:
    resources = tune_run.Resources(
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
        ray_address=config.ray_address,
        storage=f"{config.storage or config.run_dir}/{config.run_name}/ray",
    )
    num_cores = tune_run.start_ray(resources)
    journal.begin_session(
        num_cores=num_cores, cores_per_trial=config.cpus_per_trial, started_at=STARTED_AT
    )
    progress = Progress(
        console,
        totals=comparison.totals(config, plan),
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=None,
    )

    def changed(trial: Trial) -> None:
        progress.seen(trial)
        tracker.trial_changed(trial)

    conductor = Conductor(journal, comparison.stages(config, plan, journal), on_change=changed)
    with progress:
        tune_run.run(conductor, dataset=dataset, resources=resources, run_dir=config.path)


def _tell(
    config: RunConfig,
    plan: Plan,
    journal: Journal,
    tracker: Tracker,
    comparison: Comparison,
    console: Console,
) -> None:
    """Write every file, hand everything to the store, print the answer."""
    trials = list(journal.trials.values())
    found = comparison.find(config, plan, trials)
    path = config.path
    write_trials(path / "trials.csv", trials, effective=lambda recipe: effective(plan, recipe))
    write_rows(path / f"{comparison.kind}.csv", found.rows)
    write_figures(path / "figures", {found.figure.name: found.figure})
    page = Page(
        title=f"{config.run_name}: {comparison.kind}",
        about=f"{config.run_name} · {task_line(plan)}",
        sentence=found.answer.sentence,
        lines=found.lines,
        figure=found.figure,
        rows=found.answer.rows,
        remarks=found.remarks,
    )
    write_text(path / "report.html", comparison_page(page))
    # Last: with it, all runs have ended.
    write_json(comparison.result_path(config), {**found.data, "wall_s": journal.wall_s})
    tracker.close_search("FINISHED", verdict=None, artifacts=path, answer=found.answer)
    _print(console, config, comparison, found)


def _print(console: Console, config: RunConfig, comparison: Comparison, found: Findings) -> None:
    from rich.table import Table

    console.print()
    console.print(found.answer.sentence, style="bold", highlight=False)
    for line in found.lines:
        console.print(line, highlight=False)
    table = Table()
    for name in found.answer.rows[0] if found.answer.rows else ():
        table.add_column(name, justify="left" if name in _WORDS else "right")
    for row in found.answer.rows:
        table.add_row(*row.values())
    console.print(table)
    for remark in found.remarks:
        console.print(f"  {remark}", highlight=False)
    for what, where in (
        ("The whole story:", config.path / "report.html"),
        ("The numbers:", comparison.result_path(config)),
        ("The picture:", config.path / "figures" / f"{found.figure.name}.png"),
        ("Look:", "make ui"),
    ):
        console.print(f"{what:<24}{where}", highlight=False, soft_wrap=True)


_WORDS = ("ingredient", "what it does", "optimizer", "compared at")
