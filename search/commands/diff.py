"""``make diff``: list the differences of a recipe from a published one, most important first."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from search.plan.origin import origin_of
from search.plan.reference import reference_file
from search.recipes.diff import diff, to_json, to_lines
from search.recipes.model_remarks import model_remarks, settled
from search.recipes.timm_import import Described
from search.recipes.yaml_file import read_described
from spaces.errors import InputError
from spaces.published_imagenet import IMAGENET_IMAGES
from spaces.recipe import Recipe
from spaces.references import published
from spaces.task import Task
from trainable.models.build import describe_model

_OF_THE_RUN = ("model", "pretrained", "image_size", "epochs", "batch_size", "lr", "min_lr")
_OF_THE_MACHINE = ("amp_dtype", "grad_accum_steps", "compile", "seed")
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reference:
    """The reference of a comparison: its recipe, task, title and remarks."""

    described: Described
    task: Task
    title: str
    remarks: tuple[str, ...] = ()


def print_diff(config: Path, reference: str, *, num_train: int | None, as_json: bool) -> None:
    """Print the differences of a recipe file from a reference.

    An ingredient that a file does not mention counts as absent. Settings of the run itself that it
    does not mention (model, sizes, length, learning rate, machine) count as equal.

    Args:
        config: Own recipe, or timm's ``args.yaml``.
        reference: Name of a published recipe, or a recipe file.
        num_train: Number of training images of the own run; None takes that of the run directory
            the file is in, else that of the reference.
        as_json: Whether to print JSON and nothing else.

    Raises:
        InputError: If a file or a name is wrong.
    """
    origin = origin_of(config)
    found_on = origin.num_train if num_train is None and origin else num_train
    theirs = _reference(reference, num_train=found_on)
    mine = _settled(read_described(config, defaults=_unsaid(theirs.described.recipe)))
    images = theirs.task.num_train if found_on is None else found_on
    task = _task(mine.recipe, num_train=images, num_classes=theirs.task.num_classes)
    differences = diff(mine, theirs.described, task, theirs.task)
    if as_json:
        sys.stdout.write(to_json(differences))
        return
    counted = {0: "No difference", 1: "1 difference"}.get(
        len(differences), f"{len(differences)} differences, what usually matters most first"
    )
    print(f"{config} against {theirs.title}. {counted}:" if differences else f"{counted}.")
    for line in to_lines(differences) if differences else ():
        print(f"  {line}")
    print(
        f"\nEffective units are those of {images} training images here "
        f"({task.total_steps} steps) and {theirs.task.num_train} there "
        f"({theirs.task.total_steps} steps); NUM_TRAIN=... sets the number here."
    )
    for remark in (*mine.notes, *_on_the_model(mine.recipe), *theirs.remarks):
        print(f"  {remark}")


def _reference(name: str, *, num_train: int | None) -> _Reference:
    path = reference_file(name)
    if path is None:
        # Only BiT's recipe depends on the number of images.
        original = published(name, num_train=1 if num_train is None else num_train)
        return _Reference(
            described=_settled(Described(recipe=original.recipe)),
            task=original.task,
            title=f"{name} ({original.source})",
            remarks=tuple(f"{name}: {caveat}." for caveat in original.caveats),
        )
    described = _settled(read_described(path, defaults=Recipe()))
    origin = origin_of(path)
    given = IMAGENET_IMAGES if num_train is None else num_train
    images = origin.num_train if origin else given
    classes = origin.plan.task.num_classes if origin else _IMAGENET_CLASSES
    return _Reference(
        described=described,
        task=_task(described.recipe, num_train=images, num_classes=classes),
        title=name,
        remarks=tuple(f"{name}: {note}" for note in described.notes),
    )


def _settled(described: Described) -> Described:
    return replace(described, recipe=settled(described.recipe))


def _on_the_model(recipe: Recipe) -> tuple[str, ...]:
    """Return remarks on the model; none if the model is not installed."""
    try:
        return model_remarks(recipe)
    except InputError:
        return ()


def _unsaid(reference: Recipe) -> Recipe:
    """Return the defaults of a file: the reference's settings of the run, and no ingredients."""
    names = (*_OF_THE_RUN, *_OF_THE_MACHINE)
    return replace(Recipe(), **{name: getattr(reference, name) for name in names})


def _task(recipe: Recipe, *, num_train: int, num_classes: int) -> Task:
    num_blocks, deepest_share = 1, 1.0
    try:
        info = describe_model(recipe.model)
    except InputError:
        pass  # The model is not installed; the comparison of recipes does not depend on it.
    else:
        num_blocks, deepest_share = info.num_blocks, info.deepest_share
    return Task.of(
        recipe,
        num_train=num_train,
        num_classes=num_classes,
        num_blocks=num_blocks,
        deepest_share=deepest_share,
    )
