"""``make schedule``: draw the learning-rate curve of a recipe, by the function used in training."""

import io
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from search.plan.origin import origin_of
from search.recipes.yaml_file import read_recipe
from search.records.files import make_writable, write_text
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.optim.schedule import lr_factor, warmup_steps_of

NO_SCHEDULE = ("adamw_schedulefree",)
"""Optimizers whose learning rate stays constant after warmup."""
MAX_STEPS = 10_000_000
"""Largest number of steps, which takes half a minute; published runs have at most half."""
MAX_POINTS = 2000
"""Largest number of points drawn of a curve, more than can be seen."""

NOMINAL_STEPS = 100
"""Number of steps per epoch if the number of images is unknown."""


def draw_schedule(
    config: Path, *, num_train: int | None, run_dir: Path, out: Path | None = None
) -> None:
    """Draw the schedule and print its first and last values.

    Args:
        config: Recipe file.
        num_train: Number of training images; None takes that of the run directory the file is in.
            The shape depends on the recipe alone, so without either an epoch is drawn as
            `NOMINAL_STEPS` steps.
        run_dir: Directory in which a folder named after the recipe is made, unless ``out`` is
            given.
        out: Folder for ``schedule.png`` and ``schedule.html``.

    Raises:
        InputError: If the recipe is wrong, or the folder cannot be written to.
    """
    recipe = read_recipe(config, defaults=Recipe())
    origin = origin_of(config)
    known = num_train if num_train is not None or origin is None else origin.num_train
    images = NOMINAL_STEPS * recipe.batch_size if known is None else known
    task = Task.of(recipe, num_train=images, num_classes=2, num_blocks=0)
    lines = summary(recipe, task.total_steps)
    stem = origin.config.run_name if origin else config.stem
    folder = out or run_dir / f"schedule-{stem}"
    make_writable(folder)
    paths = draw(recipe, task.total_steps, folder)
    sizes = f"{recipe.epochs} epochs of {task.steps_per_epoch} steps = {task.total_steps} steps"
    if known is None:
        sizes += " (NUM_TRAIN=... is not given: an epoch is drawn as 100 steps)"
    print(f"{config}: {sizes}. Rates of the first steps, the peak, and the last steps:")
    for line in lines:
        print(f"  {line}")
    for path in paths:
        print(path)


def draw(recipe: Recipe, total_steps: int, out_dir: Path) -> tuple[Path, Path]:
    """Draw the recipe's schedule, the same without warmup, and one-cycle (or cosine) beside it.

    Args:
        recipe: Recipe with peak and last rate, schedule and warmup.
        total_steps: Optimizer steps of the whole run, at least 1.
        out_dir: Folder for ``schedule.png`` and ``schedule.html``, which needs no network.

    Returns:
        The paths of both.

    Raises:
        InputError: If ``total_steps`` is below 1 or above `MAX_STEPS`.
    """
    lines = curves(recipe, total_steps)
    out_dir.mkdir(parents=True, exist_ok=True)
    png, html = out_dir / "schedule.png", out_dir / "schedule.html"
    figure = _drawing(lines, recipe)
    figure.savefig(png, format="png", dpi=120)
    write_text(html, _page(figure, title=_title(recipe)))
    return png, html


def curves(recipe: Recipe, total_steps: int) -> dict[str, tuple[float, ...]]:
    """Compute the learning rate of every optimizer step by name of the curve, the recipe's first.

    Raises:
        InputError: If ``total_steps`` is below 1 or above `MAX_STEPS`.
    """
    if not 1 <= total_steps <= MAX_STEPS:
        raise InputError(f"`1 <= total_steps <= {MAX_STEPS}` must hold, but got {total_steps}.")
    warmup_steps = warmup_steps_of(recipe.strengths.warmup_fraction, total_steps)
    own = "constant" if recipe.optimizer in NO_SCHEDULE else recipe.schedule
    other = "cosine" if own == "one_cycle" else "one_cycle"
    warmup = f"{warmup_steps} steps of warmup"
    return {
        f"{own}, {warmup}": _rates(recipe, own, total_steps, warmup_steps),
        f"{own} without warmup": _rates(recipe, own, total_steps, 0),
        f"{other}, {warmup}": _rates(recipe, other, total_steps, warmup_steps),
    }


def summary(recipe: Recipe, total_steps: int) -> tuple[str, ...]:
    """Write a line per curve: its first rates, its peak and the peak's step, and its last rates.

    Raises:
        InputError: If ``total_steps`` is below 1 or above `MAX_STEPS`.
    """
    return tuple(
        f"{name}: {_listed(rates[:3])} ... {max(rates):.4g} at step {rates.index(max(rates))} ... "
        f"{_listed(rates[-3:])}"
        for name, rates in curves(recipe, total_steps).items()
    )


def _rates(recipe: Recipe, schedule: str, total_steps: int, warmup_steps: int) -> tuple[float, ...]:
    return tuple(
        recipe.lr
        * lr_factor(
            step,
            schedule=schedule,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            min_factor=recipe.min_lr / recipe.lr,
        )
        for step in range(total_steps)
    )


def _listed(rates: tuple[float, ...]) -> str:
    return ", ".join(f"{rate:.4g}" for rate in rates)


def _shown_steps(rates: tuple[float, ...]) -> list[int]:
    """Choose the steps to draw: all, or evenly spaced ones with both ends and the peak."""
    stride = max(1, len(rates) // MAX_POINTS)
    return sorted({*range(0, len(rates), stride), rates.index(max(rates)), len(rates) - 1})


def _title(recipe: Recipe) -> str:
    return f"{recipe.model}, peak {recipe.lr:g}"


def _drawing(lines: dict[str, tuple[float, ...]], recipe: Recipe) -> Figure:
    # Without pyplot: it would open a window where there is a display, and keep every figure alive.
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, rates), style in zip(lines.items(), ("-", "--", ":"), strict=True):
        steps = _shown_steps(rates)
        axes.plot(steps, [rates[step] for step in steps], style, label=name)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("learning rate")
    axes.set_title(_title(recipe))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _page(figure: Figure, *, title: str) -> str:
    """Write a page with the figure as scalable lines and text, which loads nothing."""
    drawn = io.StringIO()
    # Text stays text, to be searched and copied; names inside do not change from call to call.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "schedule"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    _, tag, svg = drawn.getvalue().partition("<svg")  # Before it is a head for a file of its own.
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        "</title><style>svg { width: 100%; height: auto; max-height: 95vh }</style></head>\n"
        f"<body>{tag}{svg}</body></html>\n"
    )
