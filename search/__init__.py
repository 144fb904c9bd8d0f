"""Public functions that find the regularizers of a recipe to turn down, to what, and how surely.

The public functions are `plan`, `run`, `diagnose`, `compare`, `resume`, `train` and `load`;
docs/python.md shows them at work. Nothing heavy is imported before one of them is called.
"""

import logging
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import search.plan as _plan_folder

if TYPE_CHECKING:
    from search.api.comparisons import Comparison
    from search.api.functions import compare, diagnose, load, plan, resume, run, train
    from search.api.plans import Planned
    from search.api.trained import Trained
    from search.api.verdicts import Verdict

__all__ = [
    "Comparison",
    "Planned",
    "Trained",
    "Verdict",
    "compare",
    "diagnose",
    "load",
    "plan",
    "resume",
    "run",
    "train",
]
_MODULES = {
    **dict.fromkeys(
        ("compare", "diagnose", "load", "resume", "run", "train"), "search.api.functions"
    ),
    "Comparison": "search.api.comparisons",
    "Planned": "search.api.plans",
    "Trained": "search.api.trained",
    "Verdict": "search.api.verdicts",
}


class _PlanFolder(ModuleType):
    """The folder ``search/plan``, which can be called as the public function of that name."""

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Make a plan, see `search.api.functions.plan`."""
        return _plan()(*args, **given)

    @property
    def __signature__(self) -> Any:
        return _plan().__signature__


def _plan() -> Any:
    return _loaded("search.api.functions").plan


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_loaded(_MODULES[name]), name)


def _loaded(module: str) -> ModuleType:
    """Import a module, without what libraries say in notebooks that lack ipywidgets."""
    logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        return import_module(module)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_plan_folder.__class__ = _PlanFolder
