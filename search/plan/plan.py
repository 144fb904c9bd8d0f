"""The plan of a run, made before anything starts and kept in ``plan.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from search.plan.config import RunConfig
from search.records.strict_json import build
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.space import Space, parse_fix, parse_set
from spaces.strengths.registry import WITHIN_RUN, strength
from spaces.task import Task
from spaces.units import to_effective
from trainable.data.file_facts import FileFacts

SCHEMA = "plan/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Description of a dataset for the plan, without its images.

    Attributes:
        name: Name for people.
        digest: Hash of images, labels and class names.
        num_train: Number of training images.
        num_val: Number of validation images, on which recipes are compared.
        num_test: Number of test images, for the confirmation.
        class_names: Name of each class.
        images_per_class: Numbers of training, validation and test images of each class; empty in
            plans of older versions.
        files: Properties of the image files.
        num_groups: Numbers of groups with training, validation and test images, or None without
            groups.
        test_groups: Number of the group of each test image; empty without groups.
    """

    name: str
    digest: str
    num_train: int
    num_val: int
    num_test: int
    class_names: tuple[str, ...]
    images_per_class: tuple[tuple[int, int, int], ...] = ()
    files: FileFacts = field(default_factory=FileFacts)
    num_groups: tuple[int, int, int] | None = None
    test_groups: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All decisions that are made before the first trial.

    Attributes:
        data: Name and sizes of the dataset.
        task: Sizes that effective units and ranges depend on.
        anchors: Recipes that are run first: ``reference``, ``scaled`` and ``off``.
        candidate: Recipe that is compared with the reference in place of a search's best, or
            None.
        space: Search space.
        eval_epochs: Epochs after which a trial of the search is evaluated.
        rungs: Epochs at which a trial of the search may be stopped.
        notes: Sentences that the user should read before starting.
    """

    data: DataFacts
    task: Task
    anchors: Mapping[str, Recipe]
    candidate: Recipe | None
    space: Space
    eval_epochs: tuple[int, ...]
    rungs: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def reference(self) -> Recipe:
        """The recipe that is judged."""
        return self.anchors["reference"]

    @property
    def within_names(self) -> tuple[str, ...]:
        """Names of what is measured at two values in every run of the experiment."""
        return tuple(name for name, factor in WITHIN_RUN.items() if factor.acts_in(self.task))

    @property
    def dial_names(self) -> tuple[str, ...]:
        """Names that get a dial: strengths, searched axes that are no nuisance, `within_names`."""
        return (*self.space.dial_names, *self.within_names)

    def dial_values(self, recipe: Recipe) -> dict[str, float]:
        """Return a recipe's raw values of all names that get a dial."""
        return {name: strength(name).read(recipe) for name in self.dial_names}

    def effective_values(self, recipe: Recipe) -> dict[str, float]:
        """Return a recipe's strengths and searched extra axes in effective units of the task."""
        raw = self.space.raw_of(recipe)
        return {name: to_effective(name, value, self.task) for name, value in raw.items()}

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping that is written to ``plan.json``."""
        return {
            "schema": SCHEMA,
            "data": asdict(self.data),
            "task": self.task.to_dict(),
            "anchors": {name: recipe.to_dict() for name, recipe in self.anchors.items()},
            "candidate": self.candidate.to_dict() if self.candidate else None,
            "space": self.space.to_dict(),
            "eval_epochs": list(self.eval_epochs),
            "rungs": list(self.rungs),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, config: RunConfig) -> Self:
        """Convert back from ``plan.json``, without the dataset.

        Raises:
            InputError: If a value is missing, of the wrong type or outside its interval.
        """
        where = str(config.path / "plan.json")
        kept = build(_Kept, data, where=where)
        if missing := sorted({"reference", "scaled", "off"} - set(kept.anchors)):
            raise InputError(f"{where}: the baseline {missing[0]!r} is missing.")
        return cls(
            space=space_of(kept.task, config),
            **{f.name: getattr(kept, f.name) for f in fields(_Kept)},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """The fields of ``plan.json`` that cannot be computed from the others."""

    data: DataFacts
    task: Task
    anchors: Mapping[str, Recipe]
    candidate: Recipe | None
    eval_epochs: tuple[int, ...]
    rungs: tuple[int, ...]
    notes: tuple[str, ...]


def space_of(task: Task, config: RunConfig) -> Space:
    """Make the search space of a task, with the ranges and fixed values that the user set."""
    space = Space.for_task(task)
    for text in config.ranges:
        space = space.with_range(*parse_set(text))
    for text in config.fixed:
        space = space.fixed(*parse_fix(text))
    return space
