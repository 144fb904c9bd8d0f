"""The end of the report: the plan, and how to reproduce the run."""

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.plan.config import RunConfig
from search.plan.option import asked_of
from search.plan.plan import Plan
from search.recipes.strict_yaml import to_yaml
from search.records.command_line import make_command, python_command
from search.report.figures.marks import WORDS
from search.report.render import Table
from search.stages.analysis import Analysis
from search.verdict.wording import count, listed
from search.verdict.wording import raw as typed
from spaces.units import describe, plain, to_effective

PACKAGES = (
    "recipe-strengths",
    "torch",
    "torchvision",
    "timm",
    "ray",
    "optuna",
    "mlflow",
    "scikit-learn",
    "scipy",
    "numpy",
)
_PLACES = ("run_dir", "run_name", "data_dir", "storage", "tracking_uri", "ray_address")
"""Settings that say where files and servers are, left out of the command that repeats a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSection:
    """The plan of a run, for the report.

    Attributes:
        task: Sentence on data, model and training length.
        axes: Table with the range of each axis, and the anchors' values on it.
        stages: Sentence on the stages, in order.
        notes: Remarks on unusual values of the reference, and the planner's notes.
    """

    task: str
    axes: Table
    stages: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """Commands and facts for reproducing a run.

    Attributes:
        make: Command that repeats the run, with make.
        python: The same without make.
        recipe: The exported recipe as YAML, empty without a verdict.
        train: Command that trains it, empty without a verdict.
        cost: Sentence on the time the run took, empty without a verdict.
        facts: Table of seed, data digest and versions.
    """

    make: str
    python: str
    recipe: str
    train: str
    cost: str
    facts: Table


def plan_section(config: RunConfig, plan: Plan) -> PlanSection:
    """Build the section on the plan: task, axes and anchors, stages, and notes."""
    names = [name for name in plan.anchors if name in WORDS]
    rows = [
        (
            f"`{name}`",
            *_ends(axis),
            axis["unit"],
            *(_value(plan, name, plan.space.raw_of(plan.anchors[anchor])) for anchor in names),
        )
        for name, axis in plan.space.to_dict().items()
    ]
    held = plan.space.raw_of(plan.reference)
    remarks = [describe(name, held[name], plan.task) for name in plan.space.names]
    return PlanSection(
        task=task_sentence(plan),
        axes=Table(
            head=("strength", "weakest", "strongest", "unit", *(WORDS[name] for name in names)),
            rows=tuple(rows),
            numeric=frozenset((1, 2, *range(4, 4 + len(names)))),
        ),
        stages=_stages_sentence(config, plan),
        notes=(*(f"The reference's {remark}." for remark in remarks if remark), *plan.notes),
    )


def reproduction(config: RunConfig, plan: Plan, analysis: Analysis | None) -> Reproduction:
    """Build the section on reproducing the run: commands, recipe, seed, versions and cost."""
    flags = flags_of(config)
    command = "search" if "search" in config.stages else "diagnose"
    variables = {name.upper().replace("-", "_"): value for name, value in flags.items()}
    facts = (
        ("seed", str(config.seed)),
        ("data digest", plan.data.digest),
        ("Python", f"{platform.python_version()}, {platform.machine()} {platform.system()}"),
        *versions_of(PACKAGES).items(),
    )
    return Reproduction(
        make=make_command(command, **variables),
        python=python_command(command, **variables),
        recipe=to_yaml(analysis.exported.to_dict()).rstrip() if analysis else "",
        train=make_command("train", CONFIG=config.path / "best.yaml") if analysis else "",
        cost=_cost(analysis) if analysis else "",
        facts=Table(head=("what", "value"), rows=facts),
    )


def task_sentence(plan: Plan) -> str:
    """Describe data, model and training length in words."""
    task, data, recipe = plan.task, plan.data, plan.reference
    origin = "ImageNet weights" if task.pretrained else "random weights"
    return (
        f"{data.name}: {data.num_train} training, {data.num_val} validation and {data.num_test} "
        f"test images of {task.num_classes} classes ({_shown(data.class_names)}). {recipe.model} "
        f"from {origin} at {recipe.image_size} px, {recipe.optimizer} at {recipe.lr:g}, "
        f"{recipe.batch_size} images a step, {recipe.epochs} epochs = {task.total_steps} steps."
    )


def flags_of(config: RunConfig) -> dict[str, str]:
    """List the flags that differ from the defaults, without those for places such as ``--run-dir``.

    ``dataset`` and ``seed`` are always there.
    """
    flags = {"dataset": config.dataset, "seed": str(config.seed)}
    for name, asked in asked_of(RunConfig).items():
        value = getattr(config, name)
        if name in (*_PLACES, *flags) or value == asked.default:
            continue
        flags[asked.flag] = " ".join(value) if isinstance(value, tuple) else _typed(value)
    return flags


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _ends(axis: Mapping[str, Any]) -> list[str]:
    if axis["scale"] == "fixed":
        return ["fixed", typed(axis["raw"][0])]
    return [
        f"{typed(raw)} ({plain(effective)})"
        for raw, effective in zip(axis["raw"], axis["effective"], strict=True)
    ]


def _value(plan: Plan, name: str, raw: Mapping[str, float]) -> str:
    return f"{typed(raw[name])} ({plain(to_effective(name, raw[name], plan.task))})"


def _stages_sentence(config: RunConfig, plan: Plan) -> str:
    rungs = ", ".join(str(epoch) for epoch in plan.rungs)
    said = {
        "search": f"{config.num_samples} trials, the baselines (reference, size-scaled "
        f"default, everything off) first, optimising {config.metric}; the "
        f"weaker ones stopped after epoch {rungs or '(none)'}; the best {config.rerun_top} again "
        "on fresh seeds",
        "attribute": "a factorial experiment between reference and best in "
        f"{config.min_blocks} to {config.max_blocks} rounds, until every setting is decided",
        "confirm": f"{count(config.confirm_seeds, 'fresh seed')} of reference and advised recipe "
        "on the test images, and at most one run of twice the length",
    }
    steps = [said[stage] for stage in config.stages]
    if config.refine:
        steps.append(
            f"values between the reference's and the advised one of {listed(config.refine)} on "
            f"{count(config.confirm_seeds, 'fresh seed')}"
        )
    if config.learning_curve:
        steps.append(
            "a round of the experiment and the advised recipe's confirmation again, on half of the "
            "training images"
        )
    return "; then ".join(steps) + "."


def _shown(class_names: tuple[str, ...], most: int = 12) -> str:
    rest = f" and {len(class_names) - most} more" if len(class_names) > most else ""
    return ", ".join(class_names[:most]) + rest


def _cost(analysis: Analysis) -> str:
    cost = analysis.verdict.cost
    return (
        f"This run took {cost.wall_s / 60:.1f} minutes; {cost.train_share:.0%} of its "
        f"{cost.core_s:.0f} core-seconds went into training and evaluation."
    )
