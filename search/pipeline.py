"""The main job from top to bottom: plan, search, attribute, confirm, tell."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
from rich.console import Console

from search import tune_run
from search.analysis import analyse, decide_dials, experiment_runs, pick_best
from search.conductor import Conductor, Stage
from search.config import RunConfig
from search.console import make_console
from search.errors import RunFailed, RunInterrupted
from search.experiment import attribute_stage, confirm_stage
from search.files import make_writable, only_driver, read_json, write_json
from search.journal import Journal
from search.outputs import effective, write_outputs, write_tables
from search.plan import Plan, make_plan
from search.progress import Progress
from search.proposer import Proposer
from search.provenance import git_commit, machine, versions
from search.rungs import Rungs
from search.stages import SearchSettings, SearchStage
from search.terminal import print_verdict
from search.tracking import DatasetInfo, Tracker
from search.trials import Trial
from spaces.errors import InputError
from spaces.recipe import Recipe
from trainable.datasets import Dataset

STORE_DIR = Path(__file__).resolve().parent.parent / "mlflow" / "store"
"""Where the embedded tracking store lies."""
EXPERIMENT = "recipe-strengths"
STARTED_AT = time.time()
log = logging.getLogger("search")


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


def run_again(path: Path, *, tracking_uri: str | None = None) -> None:
    """Go on with an interrupted run; a finished one is only written out again.

    Args:
        path: Directory of the run.
        tracking_uri: Store to mirror the run to from now on, or None for the one it had.

    Raises:
        InputError: If it is no run, or its dataset is not the same any more.
    """
    config = RunConfig.from_dict(read_json(path / "config.json"), path=path)
    if tracking_uri:
        config = replace(config, tracking_uri=tracking_uri)
        write_json(config.path / "config.json", config.to_dict())
    plan = Plan.from_dict(read_json(path / "plan.json"), config=config)
    _, dataset = make_plan(config)
    if dataset.digest != plan.data.digest:
        raise InputError(
            f"{config.dataset} has changed since {path} began; start a new run on the new data."
        )
    _work(config, plan, dataset)


def _work(config: RunConfig, plan: Plan, dataset: Dataset) -> None:
    """Everything after the plan; whatever happens, the run directory can be gone on from."""
    console = make_console()
    with (
        only_driver(config.path),
        _log_file(config.path / "log.txt"),
        _terminated_like_interrupted(),
    ):
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
    resources = tune_run.Resources(
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
        ray_address=config.ray_address,
        storage=config.storage or str(config.path),
    )
    num_cores = tune_run.start_ray(resources)
    journal = Journal(config.path)
    journal.begin_session(
        num_cores=num_cores, cores_per_trial=config.cpus_per_trial, started_at=STARTED_AT
    )
    _open_search(tracker, config, plan)
    tracker.sync(journal.trials.values())
    deadline = time.monotonic() + config.time_budget_s if config.time_budget_s else None
    progress = Progress(
        console,
        totals=expected_trials(config),
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=deadline,
    )

    def changed(trial: Trial) -> None:
        progress.seen(trial)
        tracker.trial_changed(trial)
        if trial.status != "running":
            write_tables(config, plan, journal.trials.values())

    stages = _stages(config, plan, journal, deadline)
    conductor = Conductor(journal, stages, on_change=changed)
    with progress:
        tune_run.run(conductor, dataset=dataset, resources=resources, run_dir=config.path)
    journal.close()
    analysis = analyse(journal, plan, config)
    write_outputs(config, plan, journal, analysis)
    tracker.close_search("FINISHED", verdict=analysis.verdict, artifacts=config.path)
    print_verdict(console, config, plan, analysis)


def expected_trials(config: RunConfig) -> dict[str, int]:
    """Trials by stage if everything goes as usual, for estimates of what is left."""
    usual = {
        "search": config.num_samples + 2 * config.rerun_top - 1,
        "attribute": 8 * config.min_blocks,
        "confirm": 4 * config.confirm_seeds,
    }
    return {stage: usual[stage] for stage in config.stages}


def _stages(
    config: RunConfig, plan: Plan, journal: Journal, deadline: float | None
) -> list[Callable[[], Stage]]:
    def attribute() -> Stage:
        best = pick_best(journal, plan, config)

        def is_decided() -> bool:
            runs = experiment_runs(journal.of_stage("attribute"))
            _, dials = decide_dials(runs, plan, config, best)
            return all(dial.turn != "inconclusive" for dial in dials)

        return attribute_stage(
            journal, plan, config, best=best, is_decided=is_decided, deadline=deadline
        )

    def confirm() -> Stage:
        return confirm_stage(journal, plan, config, best=pick_best(journal, plan, config))

    makers: dict[str, Callable[[], Stage]] = {
        "search": partial(_search_stage, config, plan, journal, deadline),
        "attribute": attribute,
        "confirm": confirm,
    }
    return [makers[name] for name in config.stages]


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


def _open_search(tracker: Tracker, config: RunConfig, plan: Plan) -> None:
    data, recipe = plan.data, plan.reference
    tracker.open_search(
        params={
            "dataset": data.name,
            "model": recipe.model,
            "reference": config.reference,
            "metric": config.metric,
            "num_samples": str(config.num_samples),
            "time_budget_s": str(config.time_budget_s),
            "seed": str(config.seed),
            **{f"reference.{k}": str(v) for k, v in recipe.strengths.as_dict().items()},
            **{
                f"space.{name}": " to ".join(f"{end:.6g}" for end in axis["raw"])
                for name, axis in plan.space.to_dict().items()
            },
            **{f"task.{name}": str(value) for name, value in plan.task.to_dict().items()},
        },
        tags={
            "search_id": f"{config.run_name} of {config.created}",
            "search": f"{recipe.model} on {data.name}, {config.run_name}",
            "model": recipe.model,
            "dataset": data.name,
            "commit": git_commit(),
            "machine": machine(),
            **{f"version.{name}": version for name, version in versions().items()},
        },
        dataset=DatasetInfo(
            name=data.name,
            digest=data.digest,
            num_train=data.num_train,
            num_val=data.num_val,
            num_test=data.num_test,
        ),
    )


def _tracker(config: RunConfig, plan: Plan) -> Tracker:
    def dials(recipe: Recipe) -> dict[str, float]:
        return plan.space.encode(plan.space.raw_of(recipe), clamped=True)

    return Tracker(
        config.tracking_uri,
        store_dir=STORE_DIR,
        experiment=EXPERIMENT,
        run_name=config.run_name,
        dials=dials,
        effective=partial(effective, plan),
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


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Close runs properly also where a job scheduler ends the process with SIGTERM."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
