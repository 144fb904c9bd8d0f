"""Reading of the run directory that a recipe file is in: its configuration, plan and verdict."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.plan.config import SCHEMA, RunConfig
from search.plan.config_file import read_config
from search.plan.plan import Plan
from search.records.files import exists, read_json
from search.records.strict_json import build, one_line
from spaces.errors import InputError

EXPORTED_RECIPES = ("best.yaml", "best.timm.yaml")
"""Files of a run directory with the recipe that its search exports."""
EXPORTED_ROLES = ("advised", "best", "scaled", "reference", "off")
"""Roles of the recipes that a verdict can export."""
RESCALED_RECIPES = ("rescaled.yaml", "rescaled.timm.yaml")
"""Files of a run directory with that recipe for a run of another size."""
EXPORT_FILE = "export.json"
"""Name of the file with the size that `export` has written `RESCALED_RECIPES` for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The content of a run directory that its recipe files depend on.

    Attributes:
        config: Settings of the run, with its present directory.
        plan: Plan of the run, with the dataset's sizes.
        verdict: Content of ``verdict.json``, or None while there is none.
        num_train: Number of training images that the strengths of its recipe files are meant for.
    """

    config: RunConfig
    plan: Plan
    verdict: Mapping[str, Any] | None
    num_train: int


def origin_of(recipe_file: Path) -> Origin | None:
    """Read the run that a recipe file is in, or return None if it is in no run directory.

    Raises:
        InputError: If the run directory cannot be read.
    """
    folder = Path(os.path.realpath(recipe_file)).parent
    if not exists(folder / "config.json") or not exists(folder / "plan.json"):
        return None
    asked = read_json(folder / "config.json")
    if not isinstance(asked, dict) or asked.get("schema") != SCHEMA:
        return None  # Other tools also write files named config.json.
    return read_origin(folder, is_rescaled=recipe_file.name in RESCALED_RECIPES)


def read_origin(run_dir: Path, *, is_rescaled: bool = False) -> Origin:
    """Read a run directory, wherever it is now.

    Args:
        run_dir: The directory.
        is_rescaled: Whether the recipe in question is one of `RESCALED_RECIPES`.

    Raises:
        InputError: If it holds no run of this version.
    """
    config = read_config(run_dir)
    plan = Plan.from_dict(read_json(run_dir / "plan.json"), config=config)
    moved = _Moved()
    if is_rescaled and (exported := run_dir / EXPORT_FILE).is_file():
        moved = build(_Moved, read_json(exported), where=str(exported))
    return Origin(
        config=config,
        plan=plan,
        verdict=_verdict(run_dir / "verdict.json"),
        num_train=plan.data.num_train if moved.num_train is None else moved.num_train,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moved:
    """The part of `EXPORT_FILE` that is read."""

    num_train: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """The part of ``verdict.json`` whose types are checked."""

    exported: str
    sentence: str
    confirmed: Mapping[str, Any] | None
    advised: Mapping[str, Any] = field(default_factory=dict)
    advised_because: Mapping[str, str] = field(default_factory=dict)


def decided_by_evidence(verdict: Mapping[str, Any], held: Mapping[str, float]) -> dict[str, str]:
    """Return, by strength, what the experiment decided of the value that a recipe holds.

    What it left open, or recommends another value for, is not there.

    Raises:
        InputError: If a dial of the verdict is not one.
    """
    found = {}
    for number, said in enumerate(verdict.get("dials", ())):
        dial = build(_Dial, said, where=f"dial {number} of verdict.json")
        if held.get(dial.strength) != dial.recommended:
            continue
        if dial.turn in ("down", "up"):
            found[dial.strength] = f"the verdict turned it {dial.turn} from {dial.reference:.6g}"
        elif dial.turn == "leave" and dial.effect:
            found[dial.strength] = "the verdict found no better value"
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dial:
    """The part of a dial whose types are checked."""

    strength: str
    turn: str
    reference: float
    recommended: float
    effect: Mapping[str, Any] = field(default_factory=dict)


def _verdict(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    verdict: Mapping[str, Any] = read_json(path)
    said = build(_Said, verdict, where=str(path))
    if said.exported not in EXPORTED_ROLES:
        raise InputError(
            f"{path}: `exported` must be one of {', '.join(EXPORTED_ROLES)}, "
            f"but got {one_line(said.exported)!r}."
        )
    if said.confirmed is not None:
        build(_Confirmed, said.confirmed, where=str(path))
    return verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class _Confirmed:
    """The part of the confirmation whose types are checked."""

    seeds: int
    reference: Mapping[str, float]
    best: Mapping[str, float]
    off: Mapping[str, float]
