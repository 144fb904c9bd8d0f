"""Output in the terminal before and after a full training run."""

from pathlib import Path

from rich.console import Console

from search.commands.console import say
from search.commands.train.job import TrainJob
from search.commands.train.model_card import Measured
from search.commands.train.run import CARD_FILE
from search.records.metrics import ALWAYS, METRICS
from trainable.models.saved_model import MODEL_FILE, loading_code

_CLASSES_SHOWN = 8


def tell_plan(console: Console, job: TrainJob, epochs_done: int) -> None:
    """Print model, data and length of the training, and the notes on rescaled strengths."""
    recipe = job.recipe
    lines = [
        f"Training {recipe.model} on {job.num_train} images of {job.data_name} "
        f"({job.num_train - job.num_val} train + {job.num_val} validation), {recipe.epochs} epochs "
        f"= {job.task.total_steps} steps, seed {recipe.seed}; tested once on {job.num_test}."
    ]
    names = job.class_names
    more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    lines.append(f"Classes: {', '.join(names[:_CLASSES_SHOWN])}{more}.")
    lines += [f"  {note}" for note in job.notes]
    if epochs_done:
        lines.append(f"Going on with a run that has reported {epochs_done} epochs.")
    for line in lines:
        say(console, line)


def tell_result(console: Console, job: TrainJob, measured: Measured, path: Path) -> None:
    """Print the test results, the paths of the model's files, and code that loads the model."""
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
        *(
            (f"test {metric.words}", metric.unit.value(metrics[metric.on("test")]))
            for metric in METRICS.values()
            if metric not in ALWAYS and metric.on("test") in metrics
        ),
        ("top-1 on training images, no augmentation", f"{metrics['clean_train/top1']:.1%}"),
    ]
    if search and search.is_exported and "test/top1" in search.confirmed:
        rows.append(
            (
                "the search measured",
                f"{search.confirmed['test/top1']:.1%} as the mean of {search.seeds} seeds, trained "
                f"on {search.num_train} images each",
            )
        )
    rows += [("Model:", str(path / MODEL_FILE)), ("Card:", str(path / CARD_FILE))]
    say(console, "")
    for label, text in rows:
        say(console, f"{label:<20}{text}")
    file, num_classes = str(path / MODEL_FILE), len(job.class_names)
    code = loading_code(job.recipe, num_classes=num_classes, file=file)
    say(console, f"\nLoad it:\n\n{code}")
