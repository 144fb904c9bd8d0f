"""The reference recipe of a run: a published one by name, or the user's own file."""

from dataclasses import dataclass
from pathlib import Path

from search.plan.config import RunConfig
from search.recipes.own_weights import refuse_own_weights
from search.recipes.yaml_file import read_described
from search.records.files import exists
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.references import REFERENCE_NAMES, published, reference
from trainable.models.architecture import architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The user's choice of the reference, before the dataset is known.

    Attributes:
        base: The recipe that it modifies: the dataset's default, or all of the user's file.
        name: Name of a published recipe, or empty for a file.
        notes: Sentences on settings of the file that a recipe cannot express.
    """

    base: Recipe
    name: str
    notes: tuple[str, ...] = ()

    def recipe(self, *, num_train: int) -> Recipe:
        """Return the reference for a dataset with ``num_train`` training images.

        If the publication leaves the drop path rate to the architecture, it is the model's default.
        """
        if not self.name:
            return self.base
        made = reference(self.name, self.base, num_train=num_train)
        if published(self.name, num_train=num_train).leaves_drop_path:
            own = architecture(made.model).drop_path_rate
            made = made.with_strengths(drop_path_rate=own)
        return made


def reference_file(name: str) -> Path | None:
    """Return the path of the recipe file that a reference names, or None for a published recipe.

    The file need not exist.

    Raises:
        InputError: If it is neither the name of a recipe nor of a file.
    """
    if name in REFERENCE_NAMES:
        return None
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not exists(path):
        raise InputError(
            f"`reference` must be a recipe file or one of {', '.join(REFERENCE_NAMES)}, "
            f"got {name!r}."
        )
    return path


def read_reference(config: RunConfig, base: Recipe) -> Asked:
    """Look up the reference by name, or read its file.

    Args:
        config: Settings with the name or path of the reference.
        base: Recipe that gives the values missing in the file.

    Raises:
        InputError: If there is neither such a name nor such a file, or the file is wrong or starts
            from weights that a recipe cannot name.
    """
    path = reference_file(config.reference)
    if path is None:
        return Asked(base=base, name=config.reference)
    described = read_described(path, defaults=base)
    refuse_own_weights(path, described)
    notes = tuple(f"{path.name}: {note}" for note in described.notes)
    return Asked(base=described.recipe, name="", notes=notes)
