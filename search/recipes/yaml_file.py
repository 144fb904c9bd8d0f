"""Reading and writing of recipe files.

A file has either this project's own schema (`recipe/1`) or that of timm's ``train.py``
(``args.yaml``), distinguished by its keys. An error in a file is reported in one line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.recipes.strict_yaml import comment_block, read_mapping, to_yaml
from search.recipes.timm_import import Described, describe_timm_args, looks_like_timm
from search.records.files import write_text
from search.records.strict_json import one_line
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.values import STRENGTH_KEYS


def read_recipe(path: Path, *, defaults: Recipe | None) -> Recipe:
    """Read a recipe file, of this project or timm's; missing keys come from ``defaults``.

    Raises:
        InputError: If the file cannot be read, is not YAML, or has an unknown key, a wrong type
            or a value outside its interval. The message is one line that names the file.
    """
    return read_described(path, defaults=defaults).recipe


def read_described(path: Path, *, defaults: Recipe | None) -> Described:
    """Read a recipe file with the settings in it that a recipe cannot express.

    Raises:
        InputError: As `read_recipe` does.
    """
    try:
        data = read_mapping(path, noun="recipe")
        _refuse_ultralytics(data)
        if looks_like_timm(data):
            return describe_timm_args(data, defaults=defaults or Recipe())
        misplaced = [name for name in STRENGTH_KEYS if name in data]
        if misplaced:
            raise InputError(f"`{misplaced[0]}` must stand under `strengths`, not beside it.")
        return Described(recipe=Recipe.from_dict(data, defaults=defaults))
    except InputError as error:
        raise InputError(f"{path}: {one_line(str(error))}") from None


def write_recipe(path: Path, recipe: Recipe, *, comments: Sequence[str] = ()) -> None:
    """Write a recipe atomically in this project's schema.

    Args:
        path: Path of the file; its folder must exist.
        recipe: The recipe; all keys are written, and numbers read back exactly equal.
        comments: Lines of comments above the first key.
    """
    write_text(path, comment_block(comments) + to_yaml(recipe.to_dict()))


_ULTRALYTICS = frozenset({"imgsz", "lr0", "lrf", "warmup_bias_lr", "hsv_h", "mosaic", "nbs"})
"""Keys of every ``args.yaml`` of Ultralytics that neither a recipe nor timm has."""


def _refuse_ultralytics(data: Mapping[str, Any]) -> None:
    """Raise with a clear message if a file is Ultralytics', in place of one on unknown keys."""
    found = sorted(_ULTRALYTICS & set(data))
    if len(found) >= 2 or (found and {"task", "mode"} <= set(data)):
        raise InputError(
            f"this is an args.yaml of Ultralytics (its keys {', '.join(found)}), which is not read "
            "here: give a recipe of this project or an args.yaml of timm's train.py."
        )
