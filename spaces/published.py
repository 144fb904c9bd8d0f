"""A published recipe with its source and the parts of it that cannot be expressed here."""

from dataclasses import dataclass

from spaces.recipe import Recipe
from spaces.task import Task

TRANSFERABLE = (
    "strengths",
    "optimizer",
    "schedule",
    "layer_decay",
    "no_decay_split",
    "mixup_alpha",
    "cutmix_alpha",
    "randaugment",
    "crop_scale_min",
    "hflip",
    "erasing",
    "grad_clip_norm",
)
"""Fields of a published recipe that apply to other models and data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published recipe with its task and source.

    Attributes:
        recipe: The whole recipe, with the model, length and learning rate of the publication.
        task: Task that it was run on, for its strengths in effective units.
        source: Paper and repository.
        expect: The numbers that the source reports.
        caveats: Settings that a `Recipe` cannot express, assumptions, and unchecked statements.
        transferable: Fields of the recipe that someone who copies it takes over.
        leaves_drop_path: Whether it leaves the drop path rate to the architecture, which may have
            one of its own; the recipe holds that of its model.
    """

    recipe: Recipe
    task: Task
    source: str
    expect: str
    caveats: tuple[str, ...] = ()
    transferable: tuple[str, ...] = TRANSFERABLE
    leaves_drop_path: bool = False
