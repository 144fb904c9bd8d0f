"""The result of one full training run, read from its run directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from search.commands.train.job import read_job
from search.commands.train.model_card import read_measured, summary
from search.commands.train.run import CARD_FILE, METRICS_FILE
from search.records.files import read_json
from search.records.journal import Journal
from search.report.notebook import table_html
from search.report.render import Table
from spaces.recipe import Recipe
from trainable.models.saved_model import MODEL_FILE


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trained:
    """A trained model and its results on the test images.

    Attributes:
        path: Directory of the run.
        model: File of the weights; its metadata says how images are turned into the input.
        recipe: The recipe as it was trained.
        class_names: Name of each class, in the order of the model's output.
        metrics: Results by name, ``test/top1`` among them; accuracies in [0, 1], losses in nats.
        test_top1_ci95: Wilson interval of the test accuracy by the number of images alone.
        per_class_top1: Test accuracy by class.
        epochs: A row per epoch: ``train/loss``, seconds.
    """

    path: Path
    model: Path
    recipe: Recipe
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    test_top1_ci95: tuple[float, float]
    per_class_top1: Mapping[str, float]
    epochs: pd.DataFrame = field(repr=False)
    _summary: str = field(repr=False)

    def __str__(self) -> str:
        return self._summary

    def _repr_html_(self) -> str:
        rows = tuple((name, f"{value:.4g}") for name, value in self.metrics.items())
        return table_html(
            self._summary,
            rows=Table(head=("measured", "value"), rows=rows, numeric=frozenset({1})),
            remarks=(f"{self.path} holds the weights ({MODEL_FILE}) and {CARD_FILE}.",),
        )


def read_trained(path: Path) -> Trained:
    """Read a finished training run.

    Raises:
        InputError: If it is none.
    """
    job = read_job(path)
    where = path / METRICS_FILE
    measured = read_measured(read_json(where), where=str(where))
    journal = Journal(path)
    rows = [
        {"epoch": record.epoch, **record.metrics}
        for trial in journal.trials.values()
        for record in trial.records
    ]
    journal.close()
    return Trained(
        path=path,
        model=path / MODEL_FILE,
        recipe=job.recipe,
        class_names=job.class_names,
        metrics=MappingProxyType(dict(measured.metrics)),
        test_top1_ci95=measured.test_top1_ci95,
        per_class_top1=MappingProxyType(dict(measured.per_class_top1.get("shipped", {}))),
        epochs=pd.DataFrame(rows),
        _summary=summary(job, measured),
    )
