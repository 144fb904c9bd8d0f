"""The recipe that a verdict advises, to be written for this project, timm and torchvision."""

from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, Self

from search.recipes.data_remarks import timm_remarks, torchvision_remarks
from search.recipes.timm_export import timm_args, write_timm
from search.recipes.torchvision_export import torchvision_flags
from search.recipes.yaml_file import write_recipe
from search.records.files import write_text
from spaces.recipe import Recipe
from trainable.data.file_facts import FileFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Advised(Recipe):
    """A recipe together with the data that it was found on.

    Attributes:
        num_train: Number of training images that its strengths are meant for, at least 1.
        class_names: Name of each class.
        comments: Lines above the first key of the file: the verdict, and the reason of each value.
        files: What the image files are like, for remarks on how other trainers read them.
    """

    num_train: int
    class_names: tuple[str, ...] = field(repr=False)
    comments: tuple[str, ...] = field(default=(), repr=False)
    files: FileFacts = field(default_factory=FileFacts, repr=False)

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        num_train: int,
        class_names: tuple[str, ...],
        comments: tuple[str, ...],
        files: FileFacts,
    ) -> Self:
        """Make it of a recipe and the facts of its data."""
        values: dict[str, Any] = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
        return cls(
            **values,
            num_train=num_train,
            class_names=class_names,
            comments=comments,
            files=files,
        )

    @property
    def recipe(self) -> Recipe:
        """The recipe alone."""
        return Recipe(**{f.name: getattr(self, f.name) for f in fields(Recipe)})

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping of a recipe file, ``schema`` first."""
        return self.recipe.to_dict()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a recipe file, which ``search.train(config=...)`` and ``--reference`` take.

        Args:
            path: Path of the file; one of that name is replaced.

        Returns:
            The path.

        Raises:
            OSError: If it cannot be written.
        """
        where = Path(path)
        write_recipe(where, self.recipe, comments=self.comments)
        return where

    def timm(self, path: str | PathLike[str] | None = None) -> dict[str, Any]:
        """Return the arguments of timm's ``train.py`` that train this recipe.

        Args:
            path: A file to write as well, for ``train.py --config``; its comments tell what timm
                does differently.

        Returns:
            Values by key of ``train.py``.
        """
        export = timm_args(self.recipe, num_train=self.num_train, num_classes=len(self.class_names))
        if path is not None:
            write_timm(Path(path), export, of_data=timm_remarks(self.files, self.class_names))
        return dict(export.args)

    def torchvision(self, path: str | PathLike[str] | None = None) -> str:
        """Return the command that trains this recipe by torchvision's ``train.py``.

        Args:
            path: A file to write the command to as well.

        Returns:
            The command, below comments on what the script does differently.
        """
        command = torchvision_flags(
            self.recipe,
            num_train=self.num_train,
            num_classes=len(self.class_names),
            of_data=torchvision_remarks(self.files),
        )
        if path is not None:
            write_text(Path(path), command)
        return command
