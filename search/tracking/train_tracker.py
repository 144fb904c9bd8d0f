"""Tracking of a single training in MLflow: one run, tagged ``role = train``, linked to its search.

As with a search, the run directory has all data, no failure of the store affects the training, and
a later call or process writes what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from search.records.trials import Trial
from search.tracking import trial_fields
from search.tracking.open_store import failures, open_store
from search.tracking.patience import Patience
from search.tracking.store import DatasetInfo, Point, Store, quotable
from search.tracking.view import run_url

_OPEN = "open the store"
_COLOUR = "#7C3AED"
_DECIMALS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainInfo:
    """Description of a training run, written once when it begins.

    Attributes:
        train_id: Identifier that is unique in the store.
        run_name: Name for people.
        params: Values of the recipe, raw and effective.
        tags: Tags for dataset and model.
        dataset: The data.
        search_id: Identifier of the search that the recipe comes from, or None.
    """

    train_id: str
    run_name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset: DatasetInfo
    search_id: str | None


@dataclass(kw_only=True, slots=True)
class _Run:
    """State of the run in the store: what is logged of it so far."""

    store: Store
    run_id: str
    epoch: int
    metrics: Mapping[str, float]
    search_url: str


class TrainTracker:
    """A writer of one training run to a tracking store; no method raises because of the store.

    Args:
        uri: Address of a tracking store, or None for the embedded one in ``store_dir``.
        store_dir: Directory of ``mlflow.db`` and its artifacts; made if missing.
        experiment: Name of the experiment, made if missing.
        info: Description of the run.
    """

    def __init__(
        self, uri: str | None, *, store_dir: Path, experiment: str, info: TrainInfo
    ) -> None:
        self._connect = partial(open_store, uri, store_dir=store_dir, experiment=experiment)
        self._info = info
        self._patience = Patience(failures())
        self._run: _Run | None = None
        # Importing MLflow and making a database are part of starting up, like importing torch.
        self._patience.attempt(_OPEN, self._open, free=True)

    @property
    def problems(self) -> list[str]:
        """Failures that left the store incomplete, one line each."""
        return self._patience.problems

    def log(self, trial: Trial) -> None:
        """Write the epochs that the store lacks, if a call is due."""
        if self._patience.is_due:
            self._attempt("log the epochs", partial(_log_epochs, trial=trial))

    def close(
        self,
        status: Literal["FINISHED", "KILLED", "FAILED"],
        trial: Trial,
        *,
        metrics: Mapping[str, float] | None = None,
        note: str = "",
        files: Sequence[Path] = (),
    ) -> None:
        """Write all that the store lacks and end the run.

        Args:
            status: Status with which the training ended; a killed or failed one can be resumed.
            trial: Trial with the epochs.
            metrics: Metrics measured at its end, or None.
            note: Description of the run, Markdown.
            files: Files to upload.
        """
        self._patience.last_chance()
        self._attempt("log the epochs", partial(_log_epochs, trial=trial))
        if metrics is not None:
            tell = partial(_log_results, epoch=trial.epoch, metrics=metrics, note=note, files=files)
            self._attempt("log the results", tell)
        # Last, so that an ended run is complete except for `problems`.
        self._attempt("end the run", partial(_end, status=status))

    def _attempt(self, what: str, call: Callable[[_Run], None]) -> None:
        def with_run() -> None:
            run = self._run or self._open()
            # After a failure the state of the store is unknown, so the next call reads it again.
            self._run = None
            call(run)
            self._run = run

        if not self._patience.is_paused:
            self._patience.attempt(what, with_run)

    def _open(self) -> _Run:
        """Find the run by its tag, or create it."""
        store, info = self._connect(), self._info
        found = store.find_runs(f"tags.train_id = '{quotable(info.train_id)}'")
        search_tags, search_url = _search_of(store, info.search_id)
        running = {
            **info.tags,
            **search_tags,
            "role": "train",
            "stage": "train",
            "train_id": quotable(info.train_id),
            "outcome": "running",
            "mlflow.runColor": _COLOUR,
        }
        if found:
            run = found[0]
            run_id, known, metrics = run.run_id, run.params, run.metrics
            epoch = store.last_step(run_id, ["train/loss"] if "train/loss" in metrics else [])
            if run.status != "RUNNING":
                store.reopen_run(run_id)
        else:
            run_id, known, metrics, epoch = store.create_run(info.run_name, running), {}, {}, 0
        missing = {name: value for name, value in info.params.items() if name not in known}
        store.log(run_id, params=missing, tags=running)
        store.log_dataset(run_id, info.dataset)
        self._patience.solved(_OPEN)
        self._run = _Run(
            store=store, run_id=run_id, epoch=epoch, metrics=metrics, search_url=search_url
        )
        return self._run


def _search_of(store: Store, search_id: str | None) -> tuple[dict[str, str], str]:
    """Return the tags that link to a search, and the address of its run (empty if not found)."""
    if search_id is None:
        return {}, ""
    name = quotable(search_id)
    found = store.find_runs(f"tags.search_id = '{name}' and tags.role = 'search'")
    if not found:
        return {"search_id": name}, ""
    tags = {"search_id": name, "search_run_id": found[0].run_id}
    if "search" in found[0].tags:
        tags["search"] = found[0].tags["search"]
    return tags, run_url(store.experiment_id, found[0].run_id)


def _log_epochs(run: _Run, trial: Trial) -> None:
    run.store.log(run.run_id, metrics=trial_fields.points(trial, after=run.epoch))
    run.epoch = trial.epoch


def _log_results(
    run: _Run, epoch: int, metrics: Mapping[str, float], note: str, files: Sequence[Path]
) -> None:
    rounded = {name: round(value, _DECIMALS) for name, value in metrics.items()}
    rows = [
        Point(name=name, value=value, step=epoch)
        for name, value in rounded.items()
        if run.metrics.get(name) != value
    ]
    link = f"\n\nThe recipe comes from [this search]({run.search_url})." if run.search_url else ""
    for file in files:
        run.store.log_file(run.run_id, file)
    run.store.log(run.run_id, metrics=rows, tags={"mlflow.note.content": note + link})
    run.metrics = {**run.metrics, **rounded}


def _end(run: _Run, status: str) -> None:
    outcome = {"FINISHED": "finished", "KILLED": "interrupted", "FAILED": "failed"}[status]
    run.store.log(run.run_id, tags={"outcome": outcome})
    run.store.end_run(run.run_id, status)
