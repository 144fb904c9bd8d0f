"""``make export``: write the recipe files of a run again, for its own size or for another one.

It needs the run directory only, wherever it is now, and not the dataset.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.commands.console import make_console
from search.plan.origin import (
    EXPORT_FILE,
    EXPORTED_RECIPES,
    RESCALED_RECIPES,
    Origin,
    decided_by_evidence,
    read_origin,
)
from search.recipes.data_remarks import timm_remarks, torchvision_remarks
from search.recipes.rescale import rescaled_recipe
from search.records.command_line import next_command
from search.records.files import make_writable, only_driver, write_json
from search.records.journal import Journal
from search.report.outputs import write_recipes
from search.stages.analysis import pick_best
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task

SCHEMA = "export/1"
FILES = (*EXPORTED_RECIPES, "best.torchvision.txt")
RESCALED_FILES = (*RESCALED_RECIPES, "rescaled.torchvision.txt")


def export_run(
    run_dir: Path,
    *,
    num_train: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Write the exported recipe of a finished run again, rescaled to another size if one is given.

    A rescaled recipe gets files of its own. What the experiment decided is kept: its effective
    value where that is what a strength keeps in a run of another size, else its value.

    Args:
        run_dir: Directory of the run.
        num_train: Number of training images that the recipe is rescaled for; None keeps it.
        epochs: Its epochs; None keeps them.
        batch_size: Its images per step; None keeps them.

    Raises:
        InputError: If the run has no verdict yet, its directory cannot be written to, or a size
            is impossible.
    """
    origin = read_origin(run_dir)
    if origin.verdict is None:
        raise InputError(
            f"{run_dir} must have a verdict before its recipe is exported, but has none; "
            f"go on with: {next_command('resume', RUN=run_dir)}"
        )
    recipe, plan = exported_recipe(run_dir, origin), origin.plan
    sentence = str(origin.verdict["sentence"])
    reasons: Mapping[str, str] = origin.verdict.get("advised_because", {})
    wanted = {"num_train": num_train, "epochs": epochs, "batch_size": batch_size}
    is_moved = any(value is not None for value in wanted.values())
    notes: tuple[str, ...] = ()
    if is_moved:
        recipe, notes = rescaled_recipe(
            recipe,
            _task(origin, recipe),
            **wanted,
            decided=decided_by_evidence(origin.verdict, plan.dial_values(recipe)),
        )
        plan = replace(plan, data=replace(plan.data, num_train=num_train or plan.data.num_train))
        sentence = "\n".join((sentence, "", "Rescaled to another size:", *notes))
        reasons = {}  # They are about the values before rescaling.
    make_writable(run_dir)
    with only_driver(run_dir):
        stem = "rescaled" if is_moved else "best"
        write_recipes(origin.config, plan, recipe, sentence=sentence, reasons=reasons, stem=stem)
        if is_moved:
            # `train` needs the number of images, which a recipe file does not hold.
            sizes = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
            moved_to = {"schema": SCHEMA, "num_train": plan.data.num_train, **sizes}
            write_json(run_dir / EXPORT_FILE, moved_to)
    _tell(run_dir, origin, notes)


def exported_recipe(run_dir: Path, origin: Origin) -> Recipe:
    """Return the recipe that the verdict of a run exports.

    Raises:
        InputError: If neither ``verdict.json`` nor, for a run of an earlier version, the journal
            holds it.
    """
    assert origin.verdict is not None
    if advised := origin.verdict.get("advised"):
        return Recipe.from_dict(advised)
    role = origin.verdict["exported"]
    if role == "best":
        try:
            return pick_best(Journal(run_dir), origin.plan, origin.config)
        except RuntimeError as error:
            raise InputError(f"The journal in {run_dir} is not whole: {error}") from error
    return origin.plan.anchors[role]


def _task(origin: Origin, recipe: Recipe) -> Task:
    task = origin.plan.task
    return Task.of(
        recipe,
        num_train=task.num_train,
        num_classes=task.num_classes,
        num_blocks=task.num_blocks,
        class_sizes=(task.smallest_class, task.largest_class),
    )


def _tell(run_dir: Path, origin: Origin, notes: tuple[str, ...]) -> None:
    console = make_console()
    assert origin.verdict is not None
    role, data = origin.verdict["exported"], origin.plan.data
    lines = [f"{origin.config.run_name}: the recipe {role!r} is exported."]
    lines += [f"  {note}" for note in notes]
    lines += [f"  timm: {remark}" for remark in timm_remarks(data.files, data.class_names)]
    lines += [f"  torchvision: {remark}" for remark in torchvision_remarks(data.files)]
    lines += [str(run_dir / name) for name in (RESCALED_FILES if notes else FILES)]
    if notes:
        train = next_command("train", CONFIG=run_dir / RESCALED_FILES[0])
        lines.append(f"best.yaml is as it was. Train the rescaled recipe: {train}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
