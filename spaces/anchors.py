"""The three recipes that are always run first, to full length."""

from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from spaces.task import Task


def anchors(reference: Recipe, task: Task) -> dict[str, Recipe]:
    """``reference``, ``scaled`` and ``off``: one recipe with three sets of strengths.

    What has nothing to act on in this task is off in all three.
    """
    made = {
        "reference": reference,
        "scaled": size_scaled(reference, task),
        "off": everything_off(reference),
    }
    return {role: without_idle(recipe, task) for role, recipe in made.items()}


def size_scaled(recipe: Recipe, task: Task) -> Recipe:
    """The recipe with the published strengths, scaled to the size and length of this task."""
    for strength in STRENGTHS.values():
        recipe = strength.put(recipe, strength.default(task))
    return without_idle(recipe, task)


def everything_off(recipe: Recipe) -> Recipe:
    """The recipe with every strength off."""
    for strength in STRENGTHS.values():
        recipe = strength.switched_off(recipe)
    return recipe


def without_idle(recipe: Recipe, task: Task) -> Recipe:
    """The recipe with those strengths off that have nothing to act on in this task."""
    for strength in STRENGTHS.values():
        if not strength.acts_in(task):
            recipe = strength.switched_off(recipe)
    return recipe
