"""Arguments of the public functions: the flags of their commands, with underscores.

Types are written down here for type checkers; what an argument means, its default and its interval
stand beside the field of `search.plan.config.RunConfig`, as for the command line.
"""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Real
from os import PathLike, fspath
from typing import Any, TypedDict, TypeVar, get_type_hints

from search.plan.config import RunConfig
from search.plan.option import asked_of
from spaces.errors import InputError

Path = str | PathLike[str]
Texts = str | Sequence[str]
"""One text, or several."""
Data = Any
"""A dataset's name or image folder, or images in memory (`search.api.functions.run`)."""


class _Places(TypedDict, total=False):
    ray_address: str
    storage: Path
    tracking_uri: str
    run_dir: Path
    run_name: str


class DiagnoseArguments(_Places, total=False):
    """Arguments of `search.diagnose` besides the dataset."""

    data_dir: Path
    columns: str
    group_by: str
    model: str
    pretrained: bool
    reference: Path
    best: Path
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    metric: str
    num_train: int
    image_size: int
    max_image_pixels: int
    seed: int
    cpus_per_trial: float
    gpus_per_trial: float
    time_budget_s: float
    hang_timeout_s: float
    amp_dtype: str
    set: Texts
    fix: Texts
    min_blocks: int
    max_blocks: int
    confirm_seeds: int
    refine: Texts
    learning_curve: bool
    no_example: bool


class SearchArguments(_Places, total=False):
    """Arguments of `search.run` and `search.plan` besides the dataset."""

    data_dir: Path
    columns: str
    group_by: str
    model: str
    pretrained: bool
    reference: Path
    num_samples: int
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    metric: str
    num_train: int
    image_size: int
    max_image_pixels: int
    seed: int
    cpus_per_trial: float
    gpus_per_trial: float
    patience: int
    time_budget_s: float
    hang_timeout_s: float
    amp_dtype: str
    set: Texts
    fix: Texts
    min_blocks: int
    max_blocks: int
    confirm_seeds: int
    refine: Texts
    learning_curve: bool
    rerun_top: int
    grace_period: int
    reduction_factor: int
    keep: float
    no_example: bool


class ResumeArguments(TypedDict, total=False):
    """Arguments of `search.resume` besides the run."""

    run_dir: Path
    tracking_uri: str
    storage: Path
    ray_address: str
    dataset: Data
    data_dir: Path
    hang_timeout_s: float
    max_blocks: int
    num_samples: int
    time_budget_s: float
    refine: Texts
    learning_curve: bool


class TrainArguments(TypedDict, total=False):
    """Arguments of `search.train` besides the recipe file."""

    dataset: Data
    data_dir: Path
    columns: str
    group_by: str
    num_train: int
    epochs: int
    batch_size: int
    lr: float
    seed: int
    amp_dtype: str
    max_image_pixels: int
    run_dir: Path
    run_name: str
    tracking_uri: str


class CompareArguments(TypedDict, total=False):
    """Arguments of `search.compare` besides both configurations, the command and the metric."""

    direction: str
    margin: float
    group: Texts
    fix: Texts
    require: Texts
    min_blocks: int
    max_blocks: int
    max_runs: int
    confirm_seeds: int
    folds: int
    seed: int
    cpus_per_run: float
    gpus_per_run: float
    time_limit_s: float
    run_timeout_s: float
    run_dir: Path
    run_name: str
    ray_address: str
    tracking_uri: str


Function = TypeVar("Function", bound=Callable[..., Any])
_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "text or a path",
    Texts: "a text or a list of texts",
}


def documented(arguments: type) -> Callable[[Function], Function]:
    """Return a decorator that gives a function taking ``**given`` its signature and explanations.

    Both follow from the typed dictionary of its arguments, so that ``help`` and the completion of a
    notebook know every name.

    Args:
        arguments: The typed dictionary.
    """

    def decorate(function: Function) -> Function:
        plain = inspect.signature(function)
        own = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in kinds_of(arguments).items()
        ]
        function.__signature__ = plain.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        lines = [f"    {name}: {words}" for name, words in explanations(arguments).items()]
        before, mark, after = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns:")
        told = "Further arguments, each a flag of the command line:"
        function.__doc__ = "\n".join((before, "", told, *lines)) + mark + after
        return function

    return decorate


def explanations(arguments: type) -> dict[str, str]:
    """Return the explanation of each argument that is a setting of a run."""
    if arguments is CompareArguments:
        return dict.fromkeys(kinds_of(arguments), "See `make compare` (docs/any_script.md).")
    by_flag = {asked.flag.replace("-", "_"): asked for asked in asked_of(RunConfig).values()}
    return {name: by_flag[name].explanation for name in kinds_of(arguments)}


@cache
def kinds_of(arguments: type) -> Mapping[str, Any]:
    """Return the type of each argument by name."""
    return get_type_hints(arguments)


def checked(arguments: type, given: Mapping[str, Any], *, function: str) -> dict[str, Any]:
    """Check the types of arguments and write paths as text; None stands for the default.

    Args:
        arguments: The typed dictionary with their types.
        given: Values by name.
        function: Name of the function, for the message.

    Raises:
        TypeError: If a name is unknown, as for any function.
        InputError: If a value is of another type.
    """
    kinds = kinds_of(arguments)
    if unknown := next((name for name in given if name not in kinds), None):
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown!r}")
    return {
        name: converted(name, value, kinds[name])
        for name, value in given.items()
        if value is not None
    }


def converted(name: str, value: Any, kind: Any) -> Any:
    """Convert one value to the plain type that a command gets of its flag.

    Raises:
        InputError: If it is of another type.
    """
    if kind is Data:
        return value
    if kind == Path and isinstance(value, (str, PathLike)):
        return fspath(value)
    if kind == Texts and isinstance(value, str):
        return (value,)
    if kind == Texts and isinstance(value, Sequence) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind is int and not isinstance(value, bool) and hasattr(value, "__index__"):
        return operator.index(value)  # Among them integers of numpy.
    if kind is float and isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    raise InputError(f"`{name}` must be {_WORDS[kind]}, but got {_shortened(value)}.")


def _shortened(value: object, most: int = 80) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[:most]}..."
