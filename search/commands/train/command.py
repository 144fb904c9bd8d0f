"""``make train``: one full training run of a recipe, on training and validation images.

A run directory holds the whole state: `train.json` the settings, the checkpoint the training state.
Training under an existing name therefore resumes that run, with bitwise equal results on the same
machine; a finished run is only shown again.
"""

import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from search.commands.console import make_console, say, tell_of_tracking
from search.commands.errors import RunFailed, RunInterrupted
from search.commands.live import LiveConsole
from search.commands.session import Interruption, interruptible, log_file
from search.commands.train.job import JOB_FILE, Asked, TrainJob, read_job, write_job
from search.commands.train.model_card import Measured, summary
from search.commands.train.plan import check_same, device, load_data, make_job
from search.commands.train.run import CARD_FILE, METRICS_FILE, RECIPE_FILE, TrainRun, shown_epochs
from search.commands.train.text import tell_plan, tell_result
from search.recipes.yaml_file import write_recipe
from search.records.command_line import next_command
from search.records.files import exists, is_begun, make_writable, only_driver
from search.records.passwords import require_address, with_password, without_passwords
from search.records.provenance import made_with
from search.records.run_names import plain_name, require_run_name
from search.tracking.notes import code_span
from search.tracking.store import DatasetInfo
from search.tracking.train_tracker import TrainInfo, TrainTracker
from search.tracking.trial_fields import fixed_point, live_params
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS, known
from spaces.units import to_effective
from trainable.data.collecting import dataset_names
from trainable.data.datasets import Dataset
from trainable.models.saved_model import MODEL_FILE
from trainable.precision import Diverged
from trainable.readback import require_arrived
from trainable.trainer import Trainer

log = logging.getLogger("search")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The places of a training run: its directory, its tracking store and its images.

    Attributes:
        run_dir: Absolute directory that holds runs.
        run_name: Name of this run, or None for a name made of the recipe's place and the time.
        tracking_uri: Address of an MLflow server or store, or None for the embedded one.
        store_dir: Directory of the embedded store.
        experiment: Name of the experiment.
        dataset: New place of the images of a run that is resumed, if they have moved.
        data_dir: New directory of named datasets of a run that is resumed, if it has moved.
    """

    run_dir: Path
    run_name: str | None
    tracking_uri: str | None = field(repr=False)  # It may hold a password.
    store_dir: Path
    experiment: str
    dataset: str | None = None
    data_dir: str | None = None


def train(asked: Asked | None, place: Place, *, console: Console | None = None) -> Path:
    """Train a recipe once, or resume a run of the same name.

    Args:
        asked: Settings of the training; None resumes the run with the settings it began with.
        place: Places of the run.
        console: Console to print to; None for standard output.

    Returns:
        Directory of the run.

    Raises:
        InputError: If a setting is wrong; nothing has been written then.
        RunFailed: If training failed.
        RunInterrupted: If the user interrupted it.
    """
    if place.run_name is not None:
        require_run_name(place.run_name, flag="run_name")
    require_address("tracking_uri", place.tracking_uri)
    place = replace(place, tracking_uri=with_password(place.tracking_uri))
    name = place.run_name or _made_up_name(asked)
    path = place.run_dir / name
    console = console or make_console()
    if exists(path / JOB_FILE):
        with only_driver(path):
            job = read_job(path)
            if asked is not None:
                check_same(asked, job)
            if job.home is None and not place.data_dir:
                say(console, _NOT_MADE_HERE.format(path=path, data_dir=job.data_dir))
            settled = _where_it_lies(job, place) if asked is None or job.home is None else job
            is_over = (path / METRICS_FILE).is_file()
            trainer = None if is_over else _trainer(settled, _same_images(settled, place, name))
            if settled != job or job.home is None:
                write_job(settled, path)
            _work(settled, trainer, path, place, console)
        return path
    _require_unbegun(path)
    if asked is None:
        raise InputError(
            f"`--config` must be given: a recipe file. There is no training run {path} to go on "
            "with."
        )
    job, dataset = make_job(asked, name=name)
    trainer = _trainer(job, dataset)
    make_writable(path)
    with only_driver(path):
        _require_unbegun(path)  # Again: another start under this name may have come first.
        write_recipe(path / RECIPE_FILE, job.recipe, comments=[f"Trained as {name}."])
        write_job(job, path, begins=True)  # Last: with it, the run can be gone on with.
        _work(job, trainer, path, place, console)
    return path


_NOT_MADE_HERE = (
    "{path} was not made here, so its data_dir no longer counts: {data_dir} does; give --data-dir "
    "if another one should."
)


def _require_unbegun(path: Path) -> None:
    if is_begun(path):
        raise InputError(f"{path} holds something else; choose another RUN_NAME.")


def _where_it_lies(job: TrainJob, place: Place) -> TrainJob:
    return replace(
        job, dataset=place.dataset or job.dataset, data_dir=place.data_dir or job.data_dir
    )


def _same_images(job: TrainJob, place: Place, name: str) -> Dataset:
    """Load the images that the run began with.

    Raises:
        InputError: If they are missing or have changed; the message names the command that gives
            their new place.
    """
    try:
        return load_data(job)
    except InputError as error:
        moved = "DATA_DIR" if job.dataset in dataset_names() else "DATASET"
        command = go_on_command(place, name, **{moved: "NEW_PLACE"})
        raise InputError(
            f"{error} If the images lie elsewhere now, go on with: {command}"
        ) from error


def _work(
    job: TrainJob, trainer: Trainer | None, path: Path, place: Place, console: Console
) -> None:
    """Train, test and track a run; unless it diverges, it can be resumed however it ends.

    The caller holds the lock of the run (`only_driver`).
    """
    may_leave = not isinstance(console, LiveConsole)
    with log_file(path / "log.txt"), interruptible(may_leave=may_leave) as interruption:
        _finish(job, trainer, path, place, console, interruption)


def _finish(
    job: TrainJob,
    trainer: Trainer | None,
    path: Path,
    place: Place,
    console: Console,
    interruption: Interruption,
) -> None:
    run = TrainRun(job, path)
    if run.damage:
        say(console, run.damage, style="yellow")
        log.warning(run.damage)
    tracker = TrainTracker(
        place.tracking_uri,
        store_dir=place.store_dir,
        experiment=place.experiment,
        info=_info(job, path.name, require_arrived(trainer) if trainer else {}),
    )
    tell_of_tracking(console, tracker.problems)  # Early, so that the user can mend it.
    again = go_on_command(place, path.name)
    measured = run.measured
    try:
        if trainer is None or measured is not None:
            say(console, f"{path} is trained already.")
        else:
            tell_plan(console, job, run.trial.epoch)
            measured = _train(run, trainer, tracker, console, job)
    except KeyboardInterrupt:
        go_on = f"Interrupted. Go on with: {again}"
        interruption.closes(go_on)
        log.warning(go_on)
        tracker.close("KILLED", run.trial)
        raise RunInterrupted(go_on, path=path) from None
    except Diverged as error:
        tracker.close("FAILED", run.trial)
        raise RunFailed(
            f"{error} It would again: lower LR, or raise the warmup, under another RUN_NAME. The "
            f"log is {path / 'log.txt'}."
        ) from error
    except Exception as error:
        log.exception("the training failed")
        tracker.close("FAILED", run.trial)
        raise RunFailed(
            f"{type(error).__name__}: {error} The log is {path / 'log.txt'}; go on with: {again}"
        ) from error
    finally:
        run.close()
    assert measured is not None
    weights = code_span(str(path / MODEL_FILE))
    tracker.close(
        "FINISHED",
        run.trial,
        metrics=measured.metrics,
        note=f"**{summary(job, measured)}**\n\nThe weights lie in {weights}.",
        files=[path / CARD_FILE, path / RECIPE_FILE, path / METRICS_FILE],
    )
    tell_result(console, job, measured, path)
    tell_of_tracking(console, tracker.problems)


def _train(
    run: TrainRun, trainer: Trainer, tracker: TrainTracker, console: Console, job: TrainJob
) -> Measured:
    with ExitStack() as stack:
        show = stack.enter_context(shown_epochs(console, job.recipe.epochs))

        def on_epoch(trial: object) -> None:
            show(run.trial)
            tracker.log(run.trial)

        return run.finish(trainer, on_epoch=on_epoch)


def go_on_command(place: Place, name: str, **variables: str) -> str:
    """Return the command that resumes the run ``name``, without passwords."""
    return next_command(
        "train",
        RUN_NAME=name,
        RUN_DIR=place.run_dir,
        TRACKING_URI=place.tracking_uri and without_passwords(place.tracking_uri),
        **variables,
    )


def _trainer(job: TrainJob, dataset: Dataset) -> Trainer:
    return Trainer(job.recipe, dataset, dataset.split, device=device())


def _made_up_name(asked: Asked | None) -> str:
    if asked is None:
        raise InputError("`--config` must be given: a recipe file, for example best.yaml of a run.")
    folder = Path(os.path.realpath(asked.config)).parent
    stem = folder.name if exists(folder / "config.json") else asked.config.stem
    return f"train-{plain_name(stem)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _info(job: TrainJob, name: str, live: Mapping[str, float]) -> TrainInfo:
    recipe = job.recipe
    return TrainInfo(
        train_id=job.train_id,
        run_name=name,
        params={
            **_params(recipe),
            **_effective(job),
            **live_params(live, known()),
            "num_train": str(job.num_train),
        },
        tags={
            "dataset": job.data_name,
            "model": recipe.model,
            **made_with(),
        },
        dataset=DatasetInfo(
            name=job.data_name,
            digest=job.digest,
            num_train=job.num_train,
            num_val=0,
            num_test=job.num_test,
        ),
        search_id=job.from_search.search_id if job.from_search else None,
    )


def _params(recipe: Recipe) -> dict[str, str]:
    values = recipe.to_dict()
    values |= values.pop("strengths")
    del values["schema"]
    return {
        name: fixed_point(value) if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def _effective(job: TrainJob) -> dict[str, str]:
    return {
        f"effective.{name}": fixed_point(to_effective(name, strength.read(job.recipe), job.task))
        for name, strength in STRENGTHS.items()
    }
