"""``make train``: one full training run of a recipe, on everything but the test images.

A run directory is the run: `train.json` says what is trained, the checkpoint how far it has come. A
run of the same name is therefore gone on with, bit for bit on the same machine, and a finished one
only shown again.
"""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from search.console import make_console
from search.errors import RunFailed, RunInterrupted
from search.files import make_writable, only_driver, write_json
from search.model_card import Measured, summary
from search.provenance import git_commit, machine, versions
from search.recipe_file import write_recipe
from search.saved_model import MODEL_FILE, loading_code
from search.session import log_file, terminated_like_interrupted
from search.tracking_store import DatasetInfo
from search.tracking_train import TrainInfo, TrainTracker
from search.tracking_trials import fixed_point
from search.train_job import (
    JOB_FILE,
    Asked,
    TrainJob,
    check_same,
    device,
    load_data,
    make_job,
    read_job,
)
from search.train_run import CARD_FILE, METRICS_FILE, RECIPE_FILE, TrainRun, shown_epochs
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.units import to_effective
from trainable.datasets import Dataset
from trainable.precision import Diverged
from trainable.trainer import Trainer

log = logging.getLogger("search")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a training run lies and where it is tracked.

    Attributes:
        run_dir: Absolute directory that holds runs.
        run_name: Name of this one, or None for one made of dataset and time.
        tracking_uri: Address of an MLflow server or store, or None for the embedded one.
        store_dir: Directory of the embedded store.
        experiment: Name of the experiment.
    """

    run_dir: Path
    run_name: str | None
    tracking_uri: str | None
    store_dir: Path
    experiment: str


def train(asked: Asked | None, place: Place) -> None:
    """Train a recipe once, or go on with a run of the same name.

    Args:
        asked: What to train; None goes on with the run whatever it was begun with.
        place: Where.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
        RunFailed: If training failed.
        RunInterrupted: If the user interrupted it.
    """
    name = place.run_name or _made_up_name(asked)
    path = place.run_dir / name
    console = make_console()
    if (path / JOB_FILE).is_file():
        job = read_job(path)
        if asked is not None:
            check_same(asked, job)
        trainer = None if (path / METRICS_FILE).is_file() else _trainer(job, load_data(job))
    elif path.exists() and any(path.iterdir()):
        raise InputError(f"{path} holds something else; choose another RUN_NAME.")
    elif asked is None:
        raise InputError(
            f"`--config` must be given: a recipe file. There is no training run {path} to go on "
            "with."
        )
    else:
        job, dataset = make_job(asked, name=name)
        trainer = _trainer(job, dataset)
        make_writable(path)
        write_recipe(path / RECIPE_FILE, job.recipe, comments=[f"Trained as {name}."])
        write_json(path / JOB_FILE, job.to_dict())
    with only_driver(path), log_file(path / "log.txt"), terminated_like_interrupted():
        _work(job, trainer, path, place, console)


def _work(
    job: TrainJob, trainer: Trainer | None, path: Path, place: Place, console: Console
) -> None:
    """Everything after the job is clear; whatever happens, the run can be gone on with."""
    run = TrainRun(job, path)
    tracker = TrainTracker(
        place.tracking_uri,
        store_dir=place.store_dir,
        experiment=place.experiment,
        info=_info(job, path.name),
    )
    again = f"make train RUN_NAME={path.name}" + _flag_of(place)
    measured = run.measured
    try:
        if trainer is None or measured is not None:
            _say(console, f"{path} is trained already.")
        else:
            _tell_plan(console, job, run)
            measured = _train(run, trainer, tracker, console, job)
    except KeyboardInterrupt:
        tracker.close("KILLED", run.trial)
        raise RunInterrupted(f"Interrupted. Go on with: {again}") from None
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
    assert measured is not None
    tracker.close(
        "FINISHED",
        run.trial,
        metrics=measured.metrics,
        note=f"**{summary(job, measured)}**\n\nThe weights lie in `{path / MODEL_FILE}`.",
        files=[path / CARD_FILE, path / RECIPE_FILE, path / METRICS_FILE],
    )
    _tell_result(console, job, measured, path)
    for problem in tracker.problems:
        _say(console, f"Tracking: {problem}")


def _train(
    run: TrainRun, trainer: Trainer, tracker: TrainTracker, console: Console, job: TrainJob
) -> Measured:
    with ExitStack() as stack:
        show = stack.enter_context(shown_epochs(console, job.recipe.epochs))

        def on_epoch(trial: object) -> None:
            show(run.trial)
            tracker.log(run.trial)

        return run.finish(trainer, on_epoch=on_epoch)


def _trainer(job: TrainJob, dataset: Dataset) -> Trainer:
    return Trainer(job.recipe, dataset, dataset.split, device=device())


def _made_up_name(asked: Asked | None) -> str:
    if asked is None:
        raise InputError("`--config` must be given: a recipe file, for example best.yaml of a run.")
    folder = asked.config.resolve().parent
    stem = folder.name if (folder / "config.json").is_file() else asked.config.stem
    return f"train-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def _flag_of(place: Place) -> str:
    words = "" if place.run_dir == Path("runs").resolve() else f" RUN_DIR={place.run_dir}"
    return words + (f" TRACKING_URI={place.tracking_uri}" if place.tracking_uri else "")


def _info(job: TrainJob, name: str) -> TrainInfo:
    recipe = job.recipe
    return TrainInfo(
        train_id=job.train_id,
        run_name=name,
        params={**_params(recipe), **_effective(job), "num_train": str(job.num_train)},
        tags={
            "dataset": job.data_name,
            "model": recipe.model,
            "commit": git_commit(),
            "machine": machine(),
            **{f"version.{name}": version for name, version in versions().items()},
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
    strengths = job.recipe.strengths.as_dict()
    return {
        f"effective.{name}": fixed_point(to_effective(name, value, job.task))
        for name, value in strengths.items()
    }


def _tell_plan(console: Console, job: TrainJob, run: TrainRun) -> None:
    recipe = job.recipe
    lines = [
        f"Training {recipe.model} on {job.num_train} images of {job.data_name} "
        f"({job.num_train - job.num_val} train + {job.num_val} validation), {recipe.epochs} epochs "
        f"= {job.task.total_steps} steps, seed {recipe.seed}; tested once on {job.num_test}."
    ]
    lines += [f"  {note}" for note in job.notes]
    if run.trial.epoch:
        lines.append(f"Going on with a run that has {run.trial.epoch} epochs behind it.")
    for line in lines:
        _say(console, line)


def _tell_result(console: Console, job: TrainJob, measured: Measured, path: Path) -> None:
    metrics, (low, high) = measured.metrics, measured.test_top1_ci95
    search = job.from_search
    rows = [
        (
            "test top-1",
            f"{metrics['test/top1']:.1%} [{low:.1%}, {high:.1%}] of {job.num_test} images, seed "
            f"{job.recipe.seed}; the interval is by the number of images alone",
        ),
        (
            "test log-loss",
            f"{metrics['test/nll']:.3f}, {metrics['test/nll_refined']:.3f} after temperature "
            "scaling",
        ),
        ("clean-train top-1", f"{metrics['clean_train/top1']:.1%}"),
    ]
    if search and "test/top1" in search.confirmed:
        rows.append(
            (
                "the search measured",
                f"{search.confirmed['test/top1']:.1%} as the mean of {search.seeds} seeds, trained "
                f"on {search.num_train} images each",
            )
        )
    rows += [("Model:", str(path / MODEL_FILE)), ("Card:", str(path / CARD_FILE))]
    _say(console, "")
    for label, text in rows:
        _say(console, f"{label:<20}{text}")
    code = loading_code(job.recipe, num_classes=len(job.class_names))
    _say(console, "\nLoad it:\n\n" + code.replace(MODEL_FILE, str(path / MODEL_FILE)))


def _say(console: Console, text: str) -> None:
    """Print text as it is: a path must not be broken, a name in brackets is no markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
