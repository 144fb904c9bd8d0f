"""Training of a job to its end, with checkpoints, and saving of the model and its results."""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.commands.live import LiveConsole, Shown, StageShown
from search.commands.train.job import TrainJob
from search.commands.train.model_card import Measured, metrics_dict, model_card, read_measured
from search.records.files import read_json, write_json, write_text
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec
from trainable import checkpoint
from trainable.ema import OWN
from trainable.models.saved_model import MODEL_FILE, save_model
from trainable.trainer import Trainer

METRICS_FILE = "metrics.json"
CARD_FILE = "model_card.md"
RECIPE_FILE = "recipe.yaml"
CHECKPOINT_EVERY_S = 20.0
"""Fewest seconds between two checkpoints, which are saved at the end of an epoch."""
_CHECKPOINTS = "checkpoint"
_PART = "test"


class TrainRun:
    """The directory of one full training run, with its state.

    Args:
        job: Settings of the run.
        run_dir: Directory of the run; must exist.
    """

    def __init__(self, job: TrainJob, run_dir: Path) -> None:
        self._job = job
        self._run_dir = run_dir
        self._journal = Journal(run_dir)
        if self._journal.damage:
            # A checkpoint may be ahead of the epochs that are left: the run starts over, and
            # reports the same numbers again.
            shutil.rmtree(run_dir / _CHECKPOINTS, ignore_errors=True)
        spec = TrialSpec(
            stage="train", number=0, role="train", recipe=job.recipe, evaluate_on=_PART
        )
        self._trial_id = spec.trial_id
        if self._trial_id not in self._journal.trials:
            self._journal.start(spec)

    @property
    def trial(self) -> Trial:
        """The run with its epochs, in the form of a search's trial."""
        return self._journal.trials[self._trial_id]

    @property
    def damage(self) -> str:
        """Description of what the journal has lost, or empty."""
        return self._journal.damage

    @property
    def measured(self) -> Measured | None:
        """The results at the end of the run, or None before it."""
        path = self._run_dir / METRICS_FILE
        return read_measured(read_json(path), where=str(path)) if path.is_file() else None

    def finish(self, trainer: Trainer, *, on_epoch: Callable[[Trial], None]) -> Measured:
        """Train the epochs that are left, test once, and save model and results.

        Args:
            trainer: Trainer of the job; the newest checkpoint is loaded into it first.
            on_epoch: Function that is called after every epoch that was not reported before.

        Raises:
            Diverged: If loss, gradient or output is no longer finite.
        """
        folder = self._run_dir / _CHECKPOINTS
        folder.mkdir(exist_ok=True)
        checkpoint.load(trainer, folder)
        saved_at = time.monotonic()
        while trainer.epoch < self._job.recipe.epochs:
            metrics = trainer.train_epoch()
            record = Record(
                trial_id=self._trial_id,
                stage="train",
                epoch=trainer.epoch,
                metrics=metrics,
                time=time.time(),
            )
            if self._journal.report(record):
                on_epoch(self.trial)
            is_last = trainer.epoch == self._job.recipe.epochs
            if is_last or time.monotonic() - saved_at >= CHECKPOINT_EVERY_S:
                checkpoint.save(trainer, folder)
                saved_at = time.monotonic()
        measured = self._measure(trainer)
        self._save(trainer, measured)
        shutil.rmtree(folder)  # Checkpoints are more than twice the model and no longer needed.
        self._journal.end(self._trial_id, "finished")
        return measured

    def close(self) -> None:
        """Close the journal's files."""
        self._journal.close()

    def _measure(self, trainer: Trainer) -> Measured:
        parts = (f"{_PART}/", f"{_PART}_raw/", "clean_train/")
        found = trainer.evaluate(_PART)
        metrics = {name: value for name, value in found.items() if name.startswith(parts)}
        train_s = sum(record.metrics["cost/train_s"] for record in self.trial.records)
        per_class_top1 = {
            weights: {
                class_name: value
                for class_name, value in zip(
                    self._job.class_names, trainer.by_class(_PART, name), strict=True
                )
                if not math.isnan(value)
            }
            for weights, name in (("shipped", OWN), ("raw", "raw"))
        }
        return Measured.of(
            metrics, num_test=self._job.num_test, train_s=train_s, per_class_top1=per_class_top1
        )

    def _save(self, trainer: Trainer, measured: Measured) -> None:
        save_model(
            self._run_dir / MODEL_FILE,
            # Must come right after the evaluation, which leaves the measured weights in the model.
            trainer.shipped_weights(),
            recipe=self._job.recipe,
            class_names=self._job.class_names,
            metrics=measured.metrics,
        )
        write_text(self._run_dir / CARD_FILE, model_card(self._job, measured))
        # Last, for this file marks the run as finished.
        write_json(self._run_dir / METRICS_FILE, metrics_dict(self._job, measured))


@contextmanager
def shown_epochs(console: Console, num_epochs: int) -> Iterator[Callable[[Trial], None]]:
    """Show the progress over epochs: a bar on a terminal or in a notebook, else a line per epoch.

    Args:
        console: Console to print to.
        num_epochs: Number of epochs of the whole run.
    """
    if isinstance(console, LiveConsole):
        live = console.live()
        live.start()

        def change(trial: Trial) -> None:
            stage = StageShown(name="training", num_ended=trial.epoch, num_expected=num_epochs)
            loss = trial.records[-1].metrics["train/loss"]
            live.update(Shown(stages=(stage,), text=f"train loss {loss:.3f}"))

        try:
            yield change
        finally:
            live.stop()
        return
    if not console.is_terminal:

        def line(trial: Trial) -> None:
            print_epoch(console, trial, num_epochs)

        yield line
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, train loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("training", total=num_epochs, loss="?")

        def step(trial: Trial) -> None:
            loss = f"{trial.records[-1].metrics['train/loss']:.3f}"
            progress.update(bar, completed=trial.epoch, loss=loss)

        yield step


def print_epoch(console: Console, trial: Trial, num_epochs: int) -> None:
    """Print a line on the newest epoch."""
    metrics = trial.records[-1].metrics
    console.print(
        f"epoch {trial.epoch}/{num_epochs}: train loss {metrics['train/loss']:.3f}, "
        f"{metrics['cost/train_s']:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
