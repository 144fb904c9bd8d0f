"""Rescaling of a recipe to another number of images, epochs or batch size, with explanations."""

from dataclasses import replace

from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.strengths.registry import STRENGTHS
from spaces.task import Task


def rescaled_recipe(
    recipe: Recipe,
    from_task: Task,
    *,
    num_train: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> tuple[Recipe, tuple[str, ...]]:
    """Rescale a recipe so that its strengths keep their effective values in another run.

    Args:
        recipe: The recipe, found in ``from_task``.
        from_task: Task of the run in which it was found.
        num_train: Number of training images of the other run; None keeps it.
        epochs: Its epochs; None keeps them.
        batch_size: Its images per step; None keeps them.
        lr: Its peak learning rate; None keeps it, as a search measures nothing on how it scales.

    Returns:
        The recipe, and lines for the user: one for each change, and one for unchanged strengths.

    Raises:
        InputError: If a number is outside its interval, or the other run is too short.
    """
    moved = replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        lr=recipe.lr if lr is None else lr,
    )
    # The last rate keeps its ratio to the peak.
    moved = replace(moved, min_lr=recipe.min_lr * moved.lr / recipe.lr)
    to_task = replace(
        from_task,
        num_train=from_task.num_train if num_train is None else num_train,
        epochs=moved.epochs,
        batch_size=moved.batch_size,
        lr=moved.lr,
    )
    rescaled = rescale(moved, from_task, to_task)
    lines = [
        f"{name} {old} becomes {new}, as asked."
        for name, old, new in (
            ("num_train", from_task.num_train, to_task.num_train),
            ("epochs", from_task.epochs, to_task.epochs),
            ("batch_size", from_task.batch_size, to_task.batch_size),
            ("lr", from_task.lr, to_task.lr),
        )
        if old != new
    ]
    lines += rescaled.notes.values()
    stays = [
        f"{name} {strength.read(recipe):.6g}"
        for name, strength in STRENGTHS.items()
        if name not in rescaled.notes
    ]
    if stays:
        lines.append(f"{', '.join(stays)}: unchanged.")
    growth = to_task.batch_size / from_task.batch_size
    if growth != 1 and lr is None:
        rule, factor = ("linear", growth) if recipe.optimizer == "sgd" else ("root", growth**0.5)
        lines.append(
            f"lr stays {recipe.lr:g} although a batch is {growth:g} times as large: the usual "
            f"{rule} rule says {recipe.lr * factor:.3g} (Goyal et al. 2017; Malladi et al. 2022); "
            "weight_decay is set for the lr that is used."
        )
    return rescaled.recipe, tuple(lines)
