"""A run from beginning to end: plan, train stage by stage, report; and resuming one.

The job determines the trials and the results: that of the main command is in
`search.commands.search`.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from search.commands.console import make_console, say, tell_of_tracking
from search.commands.errors import RunFailed, RunInterrupted
from search.commands.job import Job, Session
from search.commands.live import LiveConsole
from search.commands.progress import Progress
from search.commands.search import SEARCH
from search.commands.session import interruptible, log_file
from search.engine import cluster
from search.engine import run as tune_run
from search.engine.cluster_watch import ClusterLost, leave
from search.engine.conductor import Conductor
from search.engine.session_place import require_session_place
from search.engine.storage import below, delete_probe, write_probe
from search.plan.config import OF_INGREDIENTS, OF_OPTIMIZERS, PLACES, RunConfig
from search.plan.config_file import FILE, read_config, write_config
from search.plan.halves import require_halves
from search.plan.plan import Plan
from search.plan.planning import load_images
from search.plan.resources import num_workers
from search.plan.stage_size import StageSize, estimate_s, read_sizes, with_requests
from search.plan.top_up import num_top_ups, topped_up
from search.records.command_line import next_command
from search.records.files import is_begun, make_writable, only_driver, read_json, write_json
from search.records.journal import Journal
from search.records.passwords import with_password, without_passwords
from search.records.run_names import require_run_name
from search.records.trials import Trial
from search.stages.learning_curve import require_enough_images, split_seeds
from search.stages.sequence import require_turned
from search.tracking.open_store import STORE_DIR
from search.tracking.run_info import make_tracker, open_search
from spaces.errors import InputError
from trainable.data.collecting import dataset_names
from trainable.data.datasets import Dataset

STARTED_AT = time.monotonic()
"""Begin of this process's work, as far as that is known: most of it is the imports above."""
log = logging.getLogger("search")


def run_new(
    config: RunConfig, *, console: Console | None = None, started_at: float = STARTED_AT
) -> None:
    """Start a new run and bring it to its end.

    Args:
        config: Settings of the run.
        console: Console to print to; None for standard output.
        started_at: Value of `time.monotonic` from which the run's wall-clock counts.

    Raises:
        InputError: If a setting is wrong; nothing has been written then.
        RunFailed: If it failed.
        RunInterrupted: If the user interrupted it.
    """
    console = console or make_console()
    require_run_name(config.run_name, flag="run_name")
    config = replace(config, tracking_uri=with_password(config.tracking_uri))
    _require_unbegun(config)
    _tell_servers(config, console)
    _reach(config)
    job = _job_of(config)
    plan, dataset = job.make_plan(config)
    if config.learning_curve:
        require_enough_images(plan)
        require_halves(dataset, split_seeds(plan, config))
    _reach_images(config, dataset)
    sizes = job.show(console, config, plan, dataset)
    make_writable(config.path)
    expected = {
        "estimate_s": estimate_s(sizes, num_workers(config)),
        "stages": [asdict(size) for size in sizes],
    }
    with only_driver(config.path):
        _require_unbegun(config)  # Again: another start under this name may have come first.
        write_json(config.path / "plan.json", {**plan.to_dict(), **expected})
        # Last, for a directory with a config is a run that can be resumed.
        config = write_config(config, begins=True)
        _work(job, config, plan, dataset, console, started_at)


def run_again(
    path: Path,
    *,
    more: Mapping[str, Any] | None = None,
    console: Console | None = None,
    started_at: float = STARTED_AT,
    **places: Any,
) -> None:
    """Resume an interrupted run, or top up a finished one; else only write its results again.

    Args:
        path: Directory of the run.
        more: What more is asked of the run, see `search.plan.top_up.topped_up`.
        console: Console to print to; None for standard output.
        started_at: Value of `time.monotonic` from which this session's wall-clock counts.
        places: New values, by name of a field of the config, for the tracking store, the places of
            data and checkpoints, and the cluster (``local`` for this machine). None keeps the old
            value.

    Raises:
        InputError: If it is no run, its dataset has changed, its cluster cannot be reached, or less
            is asked of it than before.
    """
    given = {name: place for name, place in places.items() if place}
    with only_driver(path):
        _go_on(path, more or {}, given, console or make_console(), started_at)


def _go_on(
    path: Path,
    more: Mapping[str, Any],
    places: Mapping[str, Any],
    console: Console,
    started_at: float,
) -> None:
    found = read_config(path)
    asked = read_json(path / FILE)
    config = replace(found, **places)
    if config.ray_address == "local":
        config = replace(config, ray_address=None)
    config = replace(config, tracking_uri=with_password(config.tracking_uri))
    lost = [
        name
        for name in (*PLACES, "data_dir")
        if asked.get(name) and asked[name] != getattr(found, name) and name not in places
    ]
    if lost and found.home is None:
        say(
            console,
            f"{path} was not made here, so its {', '.join(lost)} no longer count: give them again "
            "as flags if they should.",
            style="yellow",
        )
    job = _job_of(config)
    if more:
        config = topped_up(config, Journal(path), **more)
    is_over = _is_over(job, config)
    _tell_servers(config, console)
    if not is_over:
        _reach(config)
    plan = Plan.from_dict(read_json(path / "plan.json"), config=config)
    if more.get("refine") and (config.path / job.result).exists():
        require_turned(config, plan, Journal(path))
    # Do not plan anew: the reference's file may be gone, and another precision may be chosen.
    dataset = _same_images(config, plan)
    if more.get("learning_curve"):
        require_enough_images(plan)
        require_halves(dataset, split_seeds(plan, config))
    if not is_over:
        _reach_images(config, dataset)
    if config.to_dict() != asked:
        config = write_config(config)
    _work(job, config, plan, dataset, console, started_at)


def _require_unbegun(config: RunConfig) -> None:
    if is_begun(config.path):
        raise InputError(
            f"{config.path} exists; choose another RUN_NAME, or go on with: "
            f"{next_command('resume', RUN=config.path)}"
        )


def _tell_servers(config: RunConfig, console: Console) -> None:
    """Say whom this run talks to, before it does."""
    asked = {"MLflow": config.tracking_uri, "storage": config.storage}
    found = {name: address for name, address in asked.items() if address and "://" in address}
    found |= {"Ray": config.ray_address} if config.ray_address else {}
    told = [f"{name} at {without_passwords(address)}" for name, address in found.items()]
    if told:
        say(console, f"Talks to: {', '.join(told)}.")


def _is_over(job: Job, config: RunConfig) -> bool:
    """Whether every trial that was asked for has ended.

    A run that was topped up keeps the result of before until the next one is whole.
    """
    path = config.path / job.result
    return path.exists() and num_top_ups(path) == len(config.top_ups)


def _same_images(config: RunConfig, plan: Plan) -> Dataset:
    """Load the images that the run began with.

    Raises:
        InputError: If they are missing or have changed; the message names the command that gives
            their new place.
    """
    place = "DATA_DIR" if config.dataset in dataset_names() else "DATASET"
    command = next_command("resume", RUN=config.path, **{place: "NEW_PLACE"})
    where = f"If the images lie elsewhere now, go on with: {command}"
    try:
        dataset = load_images(config, image_size=plan.reference.image_size)
    except InputError as error:
        raise InputError(f"{error} {where}") from error
    if dataset.digest != plan.data.digest:
        raise InputError(
            f"{config.dataset} has changed since {config.path} began; start a new run on the new "
            f"data. {where}"
        )
    return dataset


def _job_of(config: RunConfig) -> Job:
    if config.stages not in (OF_INGREDIENTS, OF_OPTIMIZERS):
        return SEARCH
    from search.commands.ablation.comparison_run import comparison_job

    if config.stages == OF_INGREDIENTS:
        from search.commands.ablation.job import ABLATION

        return comparison_job(ABLATION)
    from search.commands.ablation.contest import CONTEST

    return comparison_job(CONTEST)


def _reach(config: RunConfig) -> None:
    """Connect to the cluster if one is configured, else check that one can be started here.

    Raises:
        InputError: If neither is possible, or trials could not keep checkpoints.
    """
    storage = config.storage or config.run_dir
    if config.ray_address:
        cluster.connect(config.ray_address)
        cluster.require_reach(
            storage, cpus_per_trial=config.cpus_per_trial, gpus_per_trial=config.gpus_per_trial
        )
    else:
        require_session_place()
        if config.storage:
            delete_probe(storage, write_probe(storage))


def _reach_images(config: RunConfig, dataset: Dataset) -> None:
    if config.ray_address:
        cluster.require_images(
            dataset.images,
            data_dir=config.data_dir,
            cpus_per_trial=config.cpus_per_trial,
            gpus_per_trial=config.gpus_per_trial,
        )


def _work(
    job: Job,
    config: RunConfig,
    plan: Plan,
    dataset: Dataset,
    console: Console | None = None,
    started_at: float = STARTED_AT,
) -> None:
    """Train and report a planned run; however it ends, it can be resumed from its directory.

    The caller holds the lock of the run (`only_driver`).
    """
    console = console or make_console()
    go_on = f"Interrupted. Go on with: {next_command('resume', RUN=config.path)}"
    may_leave = not isinstance(console, LiveConsole)
    with (
        log_file(config.path / "log.txt"),
        interruptible(may_leave=may_leave) as interruption,
    ):
        journal = Journal(config.path)
        result = config.path / job.result
        if journal.damage:
            say(console, journal.damage, style="yellow")
            log.warning(journal.damage)
            if result.exists():  # It rests on what is trained again.
                result.replace(result.with_name(f"{result.name}.damaged"))
        tracker = make_tracker(config, plan, store_dir=STORE_DIR)
        tell_of_tracking(console, tracker.problems)  # Early, so that the user can mend it.
        session = Session(
            config=config,
            plan=plan,
            dataset=dataset,
            journal=journal,
            tracker=tracker,
            console=console,
            started_at=started_at,
        )
        has_failed = False
        try:
            open_search(tracker, config, plan, kind=job.kind)
            tracker.sync(journal.trials.values())
            if not _is_over(job, config):
                _train(job, session)
            job.tell(session)
        except ClusterLost as lost:
            tracker.close_search("FAILED", verdict=None, artifacts=None)
            leave(lost)
        except KeyboardInterrupt:
            interruption.closes(go_on)
            log.warning(go_on)
            tracker.close_search("KILLED", verdict=None, artifacts=None)
            raise RunInterrupted(go_on, path=config.path) from None
        except Exception as error:
            has_failed = True
            interruption.closes()
            log.exception("the run failed")
            tracker.close_search("FAILED", verdict=None, artifacts=None)
            raise RunFailed(
                f"{type(error).__name__}: {error} The log is {config.path / 'log.txt'}; "
                f"go on with: {next_command('resume', RUN=config.path)}"
            ) from error
        finally:
            interruption.closes()
            journal.close()
            tune_run.stop_ray(keeps_logs=has_failed)


def _train(job: Job, session: Session) -> None:
    """Run every stage to its end; return at once if all have ended."""
    config, plan, journal = session.config, session.plan, session.journal
    resources = tune_run.Resources(
        cpus_per_trial=config.cpus_per_trial,
        gpus_per_trial=config.gpus_per_trial,
        ray_address=config.ray_address,
        storage=below(config.storage or config.run_dir, config.run_name, "ray"),
        hang_timeout_s=config.hang_timeout_s,
        run_s=read_json(config.path / "plan.json").get("estimate_s"),
    )
    num_cores = tune_run.start_ray(resources)
    journal.begin_session(
        num_cores=num_cores,
        cores_per_trial=config.cpus_per_trial,
        running_s=time.monotonic() - session.started_at,
    )
    deadline = None
    if config.time_budget_s is not None:
        deadline = time.monotonic() + config.time_budget_s - journal.wall_s
    progress = Progress(
        session.console,
        sizes=_sizes(job, config, plan),
        space=plan.space,
        metric=config.metric,
        num_val=plan.data.num_val,
        deadline=deadline,
    )
    progress.know(journal.trials.values())
    ended = job.watch(session)

    def changed(trial: Trial) -> None:
        progress.seen(trial, num_expected=conductor.num_expected)
        session.tracker.trial_changed(trial)
        if trial.status != "running":
            ended(trial)

    stages = job.stages(session, deadline, progress.say)
    conductor = Conductor(journal, stages, on_change=changed)
    with progress:
        tune_run.run(
            conductor,
            dataset=session.dataset,
            resources=resources,
            run_dir=config.path,
            say=progress.say,
        )


def _sizes(job: Job, config: RunConfig, plan: Plan) -> list[StageSize]:
    """Read the planned sizes of the stages; without seconds if an older version planned them."""
    sizes = read_sizes(config.path / "plan.json") or job.sizes(config, plan)
    return with_requests(sizes, config)  # It may have been asked for later.
