"""The plan of a run, as `search.plan` returns it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.resources import num_workers
from search.plan.stage_size import StageSize, estimate_s
from search.report.notebook import plan_html
from spaces.recipe import Recipe
from spaces.task import Task


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planned:
    """The plan of a search, and how long it would take; nothing has been started.

    Attributes:
        dataset: Name of the dataset.
        class_names: Name of each class.
        num_train: Number of training images.
        num_val: Number of validation images.
        num_test: Number of test images.
        task: Sizes that the ranges follow from, such as ``total_steps``.
        ranges: By strength, both ends of its range in raw values.
        baselines: Recipes that are always trained: ``reference``, ``scaled`` and ``off``.
        stages: Expected number of trials of each stage, with the seconds of one.
        estimate_s: Expected seconds of the whole run, or None if the reference diverges at once.
        notes: Sentences to read before starting.
        text: The plan as the command line prints it.
    """

    dataset: str
    class_names: tuple[str, ...]
    num_train: int
    num_val: int
    num_test: int
    task: Task
    ranges: Mapping[str, tuple[float, float]]
    baselines: Mapping[str, Recipe]
    stages: tuple[StageSize, ...]
    estimate_s: float | None
    notes: tuple[str, ...]
    text: str = field(repr=False)
    _page: str = field(repr=False)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self._page


def planned(config: RunConfig, plan: Plan, sizes: list[StageSize], *, text: str) -> Planned:
    """Make the result of a plan that was printed as ``text``."""
    data, takes_s = plan.data, estimate_s(sizes, num_workers(config))
    axes = plan.space.to_dict()
    return Planned(
        dataset=data.name,
        class_names=data.class_names,
        num_train=data.num_train,
        num_val=data.num_val,
        num_test=data.num_test,
        task=plan.task,
        ranges=MappingProxyType({n: (a["raw"][0], a["raw"][-1]) for n, a in axes.items()}),
        baselines=MappingProxyType(dict(plan.anchors)),
        stages=tuple(sizes),
        estimate_s=takes_s,
        notes=plan.notes,
        text=text,
        _page=plan_html(config, plan, estimate_s=takes_s),
    )
