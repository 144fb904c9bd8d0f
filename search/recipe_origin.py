"""The run directory that a recipe file lies in: what the recipe was found on, and what was said."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.config import SCHEMA, RunConfig
from search.files import read_json
from search.plan import Plan

EXPORTED_RECIPES = ("best.yaml", "best.timm.yaml")
"""Files of a run directory that hold the recipe its search recommends."""
EXPORT_FILE = "export.json"
"""Says for how many images the recipe files beside it are, where `export` has moved them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A run directory as far as its recipe files need it.

    Attributes:
        config: What was asked of the run, with the place where it lies now.
        plan: What was planned, the dataset's sizes among it.
        verdict: Content of ``verdict.json``, or None while there is none.
        num_train: Training images that the strengths of its recipe files are meant for.
    """

    config: RunConfig
    plan: Plan
    verdict: Mapping[str, Any] | None
    num_train: int


def origin_of(recipe_file: Path) -> Origin | None:
    """The run that a recipe file lies in, or None if it lies elsewhere.

    Raises:
        InputError: If it lies in a run directory that cannot be read.
    """
    folder = recipe_file.resolve().parent
    if not (folder / "config.json").is_file() or not (folder / "plan.json").is_file():
        return None
    asked = read_json(folder / "config.json")
    if not isinstance(asked, dict) or asked.get("schema") != SCHEMA:
        return None  # Other tools call a file config.json too.
    return read_origin(folder)


def read_origin(run_dir: Path) -> Origin:
    """Open a run directory, wherever it lies now.

    Raises:
        InputError: If it holds no run of this version.
    """
    config = RunConfig.from_dict(read_json(run_dir / "config.json"), path=run_dir)
    plan = Plan.from_dict(read_json(run_dir / "plan.json"), config=config)
    verdict, exported = run_dir / "verdict.json", run_dir / EXPORT_FILE
    moved = read_json(exported) if exported.is_file() else {}
    return Origin(
        config=config,
        plan=plan,
        verdict=read_json(verdict) if verdict.is_file() else None,
        num_train=moved.get("num_train", plan.data.num_train),
    )
