"""``make schedule``: the learning-rate curve of a recipe, drawn without training."""

from pathlib import Path

from search.commands.draw_schedule import draw, summary
from search.plan.origin import origin_of
from search.recipes.yaml_file import read_recipe
from search.records.files import make_writable
from spaces.recipe import Recipe
from spaces.task import Task

NOMINAL_STEPS = 100
"""Steps an epoch is drawn with where nobody says how many images there are."""


def draw_schedule(
    config: Path, *, num_train: int | None, run_dir: Path, out: Path | None = None
) -> None:
    """Draw the schedule and print its first and last values.

    Args:
        config: Recipe file.
        num_train: Training images; None is those of the run directory that the file lies in. The
            shape depends on the recipe alone, so without either an epoch is drawn as
            `NOMINAL_STEPS` steps.
        run_dir: Gets a folder named after the recipe, unless ``out`` is given.
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
