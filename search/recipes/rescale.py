"""A recipe moved to another number of images, epochs or batch size, and what moved and why."""

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
    """The recipe that means in the other run what ``recipe`` means in ``from_task``.

    Args:
        recipe: What was found to be good in ``from_task``.
        from_task: The run it was found in.
        num_train: Training images of the other run; None keeps the number.
        epochs: Its epochs; None keeps them.
        batch_size: Its images per step; None keeps them.
        lr: Its peak learning rate; None keeps it, since nothing measured here says where it goes.

    Returns:
        The recipe, and lines for the user: one for everything that moved, one for what stays.

    Raises:
        InputError: If a number lies outside its interval, or the other run is too short.
    """
    moved = replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        lr=recipe.lr if lr is None else lr,
    )
    # The schedule ends at the same share of its peak.
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
