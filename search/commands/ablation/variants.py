"""The ingredients of a full training recipe, and the recipe without each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.verdict.wording import raw
from spaces.recipe import Recipe
from spaces.references import published
from spaces.task import Task
from spaces.units import to_effective, to_raw
from trainable.optim.schedule import warmup_steps_of

FULL = "full"
"""Role of the runs of the full recipe, and name of the recipe that is ablated by default."""
EMA_WINDOW = 0.05
"""Averaging window, as a share of the run, in place of a longer published one."""
_OFF = "off in this recipe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingredient:
    """A part of a recipe that can be removed.

    Attributes:
        name: Name in files.
        label: Name in tables and sentences.
        value: Its value in the recipe, as text.
        without: The recipe without this ingredient.
        missing: Reason why the recipe, as it is run here, lacks it; else empty.
    """

    name: str
    label: str
    value: str
    without: Recipe
    missing: str = ""

    @property
    def role(self) -> str:
        """Role of the runs without it."""
        return f"without {self.name}"


def full_recipe(staples: Recipe, task: Task) -> tuple[Recipe, tuple[str, ...]]:
    """Add the published ConvNeXt augmentation to a recipe, and shorten an EMA that is too long.

    Args:
        staples: A recipe with the published strengths.
        task: Task that it is run on.

    Returns:
        The recipe, and a sentence on each change that was made for a run of this length.
    """
    augmentation = published("convnext_tiny").recipe
    recipe = replace(
        staples,
        mixup_alpha=augmentation.mixup_alpha,
        cutmix_alpha=augmentation.cutmix_alpha,
        randaugment=augmentation.randaugment,
    )
    decay = recipe.strengths.ema_decay
    # An average that still holds mostly initial weights would hide all other effects.
    if not decay or to_effective("ema_decay", decay, task) <= EMA_WINDOW:
        return recipe, ()
    fitting = to_raw("ema_decay", max(EMA_WINDOW, 1 / task.total_steps), task)
    return recipe.with_strengths(ema_decay=fitting), (
        f"ema_decay {raw(decay)} remembers {1 / (1 - decay):.0f} steps, this run has "
        f"{task.total_steps}: {raw(fitting)} averages over {EMA_WINDOW:.0%} of it instead.",
    )


def ingredients(recipe: Recipe, task: Task) -> tuple[Ingredient, ...]:
    """List every ingredient, including those that the recipe lacks.

    Args:
        recipe: The full recipe, with a resolved precision.
        task: Task that it is run on.
    """
    strengths = recipe.strengths
    steps = warmup_steps_of(strengths.warmup_fraction, task.total_steps)
    schedule = "cosine" if recipe.schedule == "constant" else recipe.schedule
    augment = recipe.randaugment
    magnitude = f"{augment.num_ops} x magnitude {augment.magnitude}" if augment else ""
    return (
        Ingredient(
            name="warmup",
            label="warmup",
            value=f"{steps} step{'' if steps == 1 else 's'}",
            without=recipe.with_strengths(warmup_fraction=0.0),
            missing="" if steps else _no_warmup(strengths.warmup_fraction, task),
        ),
        Ingredient(
            name="lr_decay",
            label=f"{schedule} decay",
            value="against a constant rate",
            # Without decay the last rate has no meaning.
            without=replace(recipe, schedule="constant", min_lr=0.0),
            missing=_no_decay(recipe),
        ),
        Ingredient(
            name="label_smoothing",
            label="label smoothing",
            value=f"{strengths.label_smoothing:g}",
            without=recipe.with_strengths(label_smoothing=0.0),
            missing="" if strengths.label_smoothing else _OFF,
        ),
        Ingredient(
            name="no_decay_split",
            label="no-decay split",
            value=f"weight decay {strengths.weight_decay:g}",
            without=replace(recipe, no_decay_split=False),
            missing=_no_split(recipe),
        ),
        Ingredient(
            name="mixed_precision",
            label="mixed precision",
            value=recipe.amp_dtype,
            without=replace(recipe, amp_dtype="none"),
            missing=""
            if recipe.amp_dtype != "none"
            else "the recipe trains in float32 here; AMP_DTYPE=bfloat16 changes that",
        ),
        Ingredient(
            name="drop_path_rate",
            label="stochastic depth",
            value=f"{strengths.drop_path_rate:g}",
            without=recipe.with_strengths(drop_path_rate=0.0),
            missing=_no_depth(recipe, task),
        ),
        Ingredient(
            name="dropout",
            label="dropout",
            value=f"{recipe.dropout or 0.0:g}",
            without=replace(recipe, dropout=0.0),
            missing="" if recipe.dropout else _OFF,
        ),
        Ingredient(
            name="ema_decay",
            label="EMA of the weights",
            value=raw(strengths.ema_decay),
            without=recipe.with_strengths(ema_decay=0.0),
            missing="" if strengths.ema_decay else _OFF,
        ),
        Ingredient(
            name="mixup_cutmix",
            label="MixUp/CutMix",
            value=f"alpha {recipe.mixup_alpha:g}/{recipe.cutmix_alpha:g}",
            without=replace(recipe, mixup_alpha=0.0, cutmix_alpha=0.0),
            missing="" if recipe.mixup_alpha or recipe.cutmix_alpha else _OFF,
        ),
        Ingredient(
            name="randaugment",
            label="RandAugment",
            value=magnitude,
            without=replace(recipe, randaugment=None),
            missing="" if augment else _OFF,
        ),
    )


def variants(recipe: Recipe, found: Sequence[Ingredient]) -> dict[str, Recipe]:
    """Return the recipes to run by role: the full one, and one without each of its ingredients."""
    return {FULL: recipe, **{i.role: i.without for i in found if not i.missing}}


def _no_warmup(fraction: float, task: Task) -> str:
    return (
        f"{fraction:g} of {task.total_steps} steps is less than half a step" if fraction else _OFF
    )


def _no_decay(recipe: Recipe) -> str:
    if recipe.optimizer == "adamw_schedulefree":
        return "schedule-free averages instead of lowering the rate"
    return "" if recipe.schedule != "constant" else _OFF


def _no_split(recipe: Recipe) -> str:
    if not recipe.no_decay_split:
        return _OFF
    return "" if recipe.strengths.weight_decay else "without weight decay there is nothing to spare"


def _no_depth(recipe: Recipe, task: Task) -> str:
    if not task.num_blocks:
        return f"{recipe.model} has no block that can be skipped"
    return "" if recipe.strengths.drop_path_rate else _OFF
