"""The main job from top to bottom: plan, search, attribute, confirm, tell."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import ray
from rich.console import Console

from search import tune_run
from search.analysis import analyse, pick_best
from search.conductor import Conductor, Stage
from search.config import RunConfig
from search.experiment import attribute_stage, confirm_stage
from search.files import make_writable, only_driver, read_json, write_json
from search.journal import Journal
from search.outputs import write_outputs, write_tables
from search.plan import Plan, make_plan
from search.plan_text import plan_text
from search.progress import Progress
from search.proposer import Proposer
from search.rungs import Rungs
from search.stages import SearchSettings, SearchStage
from search.terminal import summary
from search.tracking import DatasetInfo, Tracker
from search.trials import Trial
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.units import to_effective
from trainable.datasets import Dataset

STORE_DIR = Path(__file__).resolve().parent.parent / "mlflow" / "store"
"""Where the embedded tracking store lies."""
EXPERIMENT = "recipe-strengths"
log = logging.getLogger("search")


class RunFailed(RuntimeError):
    """A run failed after it had started; the message says where the log is and how to go on."""


class RunInterrupted(KeyboardInterrupt):
    """The user interrupted a run; the message says how to go on."""


def print_plan(config: RunConfig) -> None:
    """Print the plan of a run and start nothing."""
    plan, dataset = make_plan(config)
    Console().print(plan_text(plan, config, dataset))


def run_new(config: RunConfig) -> None:
    """Do a run from the beginning.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
    """
    if config.path.exists() and any(config.path.iterdir()):
        raise InputError(
            f"{config.path} exists; go on with `make resume RUN={config.run_name}`, "
            "or choose another RUN_NAME."
        )
    plan, dataset = make_plan(config)
    make_writable(config.path)
    write_json(config.path / "config.json", config.to_dict())
    write_json(config.path / "plan.json", plan.to_dict())
    _work(config, plan, dataset)


def run_again(path: Path) -> None:
    """Go on with an interrupted run.

    Raises:
        InputError: If it is no run, or its dataset is not the same any more.
    """
    config = RunConfig.from_dict(read_json(path / "config.json"), path=path)
    plan = Plan.from_dict(read_json(path / "plan.json"), config=config)
    _, dataset = make_plan(config)
    if dataset.digest != plan.data.digest:
        raise InputError(
            f"{config.dataset} has changed since {path} began; start a new run on the new data."
        )
    _work(config, plan, dataset)


def _work(config: RunConfig, plan: Plan, dataset: Dataset) -> None:
    """Everything after the plan; whatever happens, the run directory can be gone on from."""
    console = Console(soft_wrap=True)
    with only_driver(config.path), _log_file(config.path / "log.txt"):
        tracker = _tracker(config, plan)
        try:
            _train_and_tell(config, plan, dataset, tracker, console)
        except KeyboardInterrupt:
            tracker.close_search("KILLED", verdict=None, artifacts=None)
            raise RunInterrupted(
                f"Interrupted. Go on with: make resume RUN={config.run_name}"
            ) from None
        except Exception as error:
            log.exception("the run failed")
            tracker.close_search("FAILED", verdict=None, artifacts=None)
            raise RunFailed(
                f"{type(error).__name__}: {error} The log is {config.path / 'log.txt'}; "
                f"go on with: make resume RUN={config.run_name}"
            ) from error
        finally:
            ray.shutdown()
    for problem in tracker.problems:
        console.print(f"Tracking: {problem}", style="yellow")


def _train_and_tell(
    config: RunConfig, plan: Plan, dataset: Dataset, tracker: Tracker, console: Console
) -> None:
    journal = Journal(config.path)
    journal.begin_session()
    started = time.monotonic()
    deadline = started + config.time_budget_s if config.time_budget_s else None
    tracker.open_search(
        params={"dataset": plan.data.name, "model": plan.reference.model},
        tags={},
        dataset=DatasetInfo(
            name=plan.data.name,
            digest=plan.data.digest,
            num_train=plan.data.num_train,
            num_val=plan.data.num_val,
            num_test=plan.data.num_test,
        ),
    )
    tracker.sync(journal.trials.values())
    progress = Progress(
        console,
        totals={"search": config.num_samples, "attribute": 16, "confirm": 3 * config.confirm_seeds},
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=deadline,
    )

    def changed(trial: Trial) -> None:
        progress.seen(trial)
        tracker.trial_changed(trial)
        if trial.status != "running":
            write_tables(config.path, journal.trials.values(), plan)

    stages = {
        "search": partial(_search_stage, config, plan, journal, deadline),
        "attribute": lambda: attribute_stage(
            journal, plan, config, best=pick_best(journal, plan, config), deadline=deadline
        ),
        "confirm": lambda: confirm_stage(
            journal, plan, config, best=pick_best(journal, plan, config)
        ),
    }
    conductor = Conductor(journal, [stages[name] for name in config.stages], on_change=changed)
    resources = tune_run.Resources(
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
        ray_address=config.ray_address,
        storage=config.storage or str(config.path),
    )
    with progress:
        tune_run.start_ray(resources)
        tune_run.run(conductor, dataset=dataset, resources=resources, run_dir=config.path)
    journal.close()
    analysis = analyse(
        journal, plan, config, wall_s=journal.earlier_wall_s + time.monotonic() - started
    )
    write_outputs(config, plan, journal, analysis)
    tracker.close_search("FINISHED", verdict=analysis.verdict, artifacts=config.path)
    summary(console, config, plan, analysis)


def _search_stage(config: RunConfig, plan: Plan, journal: Journal, deadline: float | None) -> Stage:
    proposer = Proposer(
        config.path,
        study_name=config.run_name,
        names=plan.space.free_names,
        metric=config.metric,
        num_val=plan.data.num_val,
        seed=config.seed,
    )
    return SearchStage(
        journal,
        anchors=plan.anchors,
        base=plan.reference,
        space=plan.space,
        proposer=proposer,
        rungs=Rungs(plan.rungs, reduction_factor=config.reduction_factor),
        settings=SearchSettings(
            num_samples=config.num_samples,
            metric=config.metric,
            num_val=plan.data.num_val,
            eval_epochs=plan.eval_epochs,
            rerun_top=config.rerun_top,
            seed=config.seed,
            deadline=deadline,
        ),
    )


def _tracker(config: RunConfig, plan: Plan) -> Tracker:
    def effective(recipe: Recipe) -> dict[str, float]:
        strengths = recipe.strengths.as_dict()
        return {name: to_effective(name, value, plan.task) for name, value in strengths.items()}

    def dials(recipe: Recipe) -> dict[str, float]:
        return plan.space.encode(plan.space.raw_of(recipe), clamped=True)

    return Tracker(
        config.tracking_uri,
        store_dir=STORE_DIR,
        experiment=EXPERIMENT,
        run_name=config.run_name,
        dials=dials,
        effective=effective,
    )


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Have everything that is logged, by us and by libraries, in one file beside the results."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
