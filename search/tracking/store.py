"""An MLflow tracking store, reduced to the operations that a search needs.

Besides this module only `search.tracking.champion` calls its client, for logging models.

Everything here raises; `search.tracking.tracker` is the one place where failures are caught. MLflow
is imported inside functions: it reads `search.tracking.open_store.ENVIRONMENT` while it is
imported.
"""

import json
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.records.command_line import command_line
from search.records.passwords import without_passwords
from search.tracking.patience import PlainProblem

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_METRICS_PER_CALL = 1000  # Limits of MLflow's log-batch request.
_PARAMS_PER_CALL = 100
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 8000
_DIGEST_CHARACTERS = 12  # MLflow takes 36, which would push the sizes of the splits off the page.


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """Description of a dataset for MLflow: its name, a digest of the split, and its sizes."""

    name: str
    digest: str
    num_train: int
    num_val: int
    num_test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRun:
    """A run as read from the store; ``metrics`` holds the last value of each metric."""

    run_id: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a metric's curve, with ``time`` in seconds since 1970; None or 0 is now."""

    name: str
    value: float
    step: int
    time: float | None = None


class DeletedExperiment(PlainProblem):
    """Error: the experiment was deleted in MLflow, which keeps its name and refuses new runs."""


def refuse_deleted(client: "MlflowClient", experiment: "Experiment") -> None:
    """Raise `DeletedExperiment` if the experiment is not active."""
    if experiment.lifecycle_stage == "active":
        return
    # It may have been deleted on purpose, so it is not restored without being asked.
    restore = command_line(
        [
            *(sys.executable, "-m", "mlflow", "experiments", "restore"),
            "-x",
            experiment.experiment_id,
        ],
        environment={"MLFLOW_TRACKING_URI": without_passwords(client.tracking_uri)},
    )
    raise DeletedExperiment(
        f"the experiment {experiment.name!r} was deleted in MLflow; get it back by: {restore}"
    )


class Store:
    """One experiment of an MLflow tracking store.

    Args:
        client: A client of the store.
        experiment_id: The experiment that everything is written to.

    Attributes:
        client: As given.
        experiment_id: As given.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str) -> None:
        self.client = client
        self.experiment_id = experiment_id

    def require_active(self) -> None:
        """Raise if the experiment is deleted, so that nothing can be written to it.

        Raises:
            DeletedExperiment: With the command that restores it.
        """
        refuse_deleted(self.client, self.client.get_experiment(self.experiment_id))

    def find_runs(self, query: str) -> list[FoundRun]:
        """Return all runs that match a query in MLflow's search language, oldest first."""
        found: list[FoundRun] = []
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                query,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found += [
                FoundRun(
                    run_id=run.info.run_id,
                    status=run.info.status,
                    params=run.data.params,
                    tags=run.data.tags,
                    metrics=run.data.metrics,
                )
                for run in page
            ]
            token = page.token
            if not token:
                return found

    def create_run(self, name: str, tags: Mapping[str, str], *, start: float | None = None) -> str:
        """Create a run with status ``RUNNING`` that began at ``start`` (or now); return its id."""
        cut = {key: value[:_TAG_CHARACTERS] for key, value in tags.items()}
        run_id: str = self.client.create_run(
            self.experiment_id, start_time=_milliseconds(start), run_name=name, tags=cut
        ).info.run_id
        return run_id

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write metrics, params and tags of a run, in one call to MLflow if they fit.

        MLflow writes metrics before tags, so tags never refer to metrics that are missing.
        """
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(p.name, p.value, _milliseconds(p.time), p.step) for p in metrics]
        pairs = [Param(key, value[:_PARAM_CHARACTERS]) for key, value in (params or {}).items()]
        labels = [RunTag(key, value[:_TAG_CHARACTERS]) for key, value in (tags or {}).items()]
        while len(points) > _METRICS_PER_CALL - _PARAMS_PER_CALL or len(pairs) > _PARAMS_PER_CALL:
            some = points[: _METRICS_PER_CALL - _PARAMS_PER_CALL]
            self.client.log_batch(run_id, metrics=some, params=pairs[:_PARAMS_PER_CALL])
            points, pairs = points[len(some) :], pairs[_PARAMS_PER_CALL:]
        if points or pairs or labels:
            self.client.log_batch(run_id, metrics=points, params=pairs, tags=labels)

    def last_step(self, run_id: str, keys: Iterable[str]) -> int:
        """Return the highest step at which any of the metrics was logged, 0 if none was."""
        histories = (self.client.get_metric_history(run_id, key) for key in keys)
        return max((point.step for history in histories for point in history), default=0)

    def end_run(self, run_id: str, status: str, *, end: float | None = None) -> None:
        """End a run as ``FINISHED``, ``KILLED`` or ``FAILED``, at ``end``, else now."""
        self.client.set_terminated(run_id, status, end_time=_milliseconds(end))

    def reopen_run(self, run_id: str) -> None:
        """Set the status of a run to ``RUNNING`` again."""
        self.client.update_run(run_id, status="RUNNING")

    def delete_run(self, run_id: str) -> None:
        """Delete a run, so that MLflow lists it no longer."""
        self.client.delete_run(run_id)

    def log_dataset(self, run_id: str, dataset: DatasetInfo) -> None:
        """Log the dataset as an input of the run; repeating it changes nothing."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        sizes = {
            "num_train": dataset.num_train,
            "num_val": dataset.num_val,
            "num_test": dataset.num_test,
        }
        entity = Dataset(
            name=dataset.name,
            digest=dataset.digest[:_DIGEST_CHARACTERS],
            source_type="local",
            source=json.dumps({"name": dataset.name}),
            profile=json.dumps(sizes),
        )
        context = ", ".join(
            f"{name.removeprefix('num_')} {number:,}" for name, number in sizes.items()
        )
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(run_id, [DatasetInput(entity, tags)])

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Write a text artifact, replacing an earlier one at the same path."""
        self.client.log_text(run_id, text, path)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Copy a file to the artifacts, replacing an earlier one of the same name."""
        self.client.log_artifact(run_id, str(file), folder)

    def experiment_tags(self) -> dict[str, str]:
        """Return the tags of the experiment."""
        return dict(self.client.get_experiment(self.experiment_id).tags)

    def set_experiment_tag(self, key: str, value: str | None) -> None:
        """Set a tag of the experiment; None removes it."""
        if value is None:
            self.client.delete_experiment_tag(self.experiment_id, key)
        else:
            self.client.set_experiment_tag(self.experiment_id, key, value)


def _milliseconds(seconds: float | None) -> int:
    return int((seconds or time.time()) * 1000)


def quotable(text: str) -> str:
    """Replace characters that may not stand inside quotes in MLflow's search language."""
    return re.sub(r"['\"`\\%$]", "-", text)
