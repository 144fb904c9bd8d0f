"""Rescaling of a recipe to another number of images, epochs or batch size, with explanations."""

from collections.abc import Mapping
from dataclasses import replace

from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.strengths.registry import strengths_in
from spaces.strengths.strength import Strength
from spaces.task import Task


def rescaled_recipe(
    recipe: Recipe,
    from_task: Task,
    *,
    num_train: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    decided: Mapping[str, str] | None = None,
) -> tuple[Recipe, tuple[str, ...]]:
    """Rescale a recipe so that its strengths keep their effective values in another run.

    Args:
        recipe: The recipe, found in ``from_task``.
        from_task: Task of the run in which it was found.
        num_train: Number of training images of the other run; None keeps it.
        epochs: Its epochs; None keeps them.
        batch_size: Its images per step; None keeps them.
        lr: Its peak learning rate; None keeps it, as a search measures nothing on how it scales.

        decided: By strength, why its value is known to be right; such a value does not follow its
            size-scaled default, and one that is kept by its effective value keeps that.

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
        from_task.resized(from_task.num_train if num_train is None else num_train),
        epochs=moved.epochs,
        batch_size=moved.batch_size,
        lr=moved.lr,
    )
    decided, covered = decided or {}, strengths_in(from_task)
    rescaled = rescale(moved, from_task, to_task, kept=decided)
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
        for name, strength in covered.items()
        if name not in rescaled.notes and name not in decided
    ]
    lines += [
        f"{name} {covered[name].read(recipe):.6g} stays: {why}"
        + _default_words(covered[name], recipe, from_task, to_task)
        for name, why in decided.items()
        if name in covered and name not in rescaled.notes
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


def _default_words(strength: Strength, recipe: Recipe, from_task: Task, to_task: Task) -> str:
    """Say what the other size would have changed a decided value to, if anything."""
    there = strength.default(to_task)
    if strength.keeps != "distance_from_default" or there == strength.default(from_task):
        return "."
    return f"; {there:.6g} is the default there, which nothing in this run speaks for."
