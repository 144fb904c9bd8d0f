"""The three anchors: recipes that are always run first, to full length."""

from collections.abc import Mapping
from dataclasses import replace

from spaces.recipe import Recipe
from spaces.strengths.registry import strengths_in
from spaces.task import Task


def anchors(
    reference: Recipe, task: Task, *, fixed: Mapping[str, float] | None = None
) -> dict[str, Recipe]:
    """Make the anchors ``reference``, ``scaled`` and ``off``: one recipe, three sets of strengths.

    What has nothing to act on in this task is off in all three. ``off`` trains without dropout too,
    where the other two have that of the reference.

    Args:
        reference: The recipe the user would otherwise run.
        task: What the size-scaled default scales with.
        fixed: Raw values by name that a strength has in those two that are not the user's.
    """
    made = {
        "reference": without_idle(reference, task),
        "scaled": size_scaled(reference, task),
        "off": without_idle(everything_off(reference, task), task),
    }
    searched = strengths_in(task)
    for name, value in (fixed or {}).items():
        if name in searched:
            for role in ("scaled", "off"):
                made[role] = searched[name].put(made[role], value)
    return made


def size_scaled(recipe: Recipe, task: Task) -> Recipe:
    """Return the recipe with the published strengths, scaled to the size and length of a task."""
    for strength in strengths_in(task).values():
        recipe = strength.put(recipe, strength.default(task))
    return without_idle(recipe, task)


def everything_off(recipe: Recipe, task: Task) -> Recipe:
    """Return the recipe with everything off that a search of the task covers, and no dropout."""
    for strength in strengths_in(task).values():
        recipe = strength.switched_off(recipe)
    return replace(recipe, dropout=0.0)


def idle_words(task: Task) -> dict[str, str]:
    """Return by strength that cannot act in this task the words that explain why."""
    return {name: s.idle_words for name, s in strengths_in(task).items() if not s.acts_in(task)}


def without_idle(recipe: Recipe, task: Task) -> Recipe:
    """Return the recipe with those strengths off that cannot act in this task."""
    for strength in strengths_in(task).values():
        if not strength.acts_in(task):
            recipe = strength.switched_off(recipe)
    return recipe
