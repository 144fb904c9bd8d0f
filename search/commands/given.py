"""From the values of a command's flags to what the command works with: settings, places, paths.

The command line and the Python functions (`search.api.functions`) both come through here. A flag
that is not given is missing, None or empty.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.plan.config import RunConfig
from search.plan.dataset_place import absolute_dataset
from search.records.command_line import next_command
from search.records.files import exists
from search.records.run_names import plain_name
from spaces.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

COMPARISON = "compare.json"
"""The file that tells a comparison of scripts from a run of our own recipe."""
MOVED = ("tracking_uri", "storage", "ray_address", "dataset", "data_dir", "hang_timeout_s")
"""Flags of resume that replace a value of the run."""
MORE = ("max_blocks", "num_samples", "time_budget_s", "refine", "learning_curve")
"""Flags of resume that ask more of the run."""


def settings(given: Mapping[str, Any], **fixed: Any) -> RunConfig:
    """Make the settings of a new run, with absolute paths, as trials run in other directories.

    Args:
        given: Values of the flags, by the name of their field in `RunConfig`.
        fixed: Fields that the command itself decides.

    Raises:
        InputError: If no dataset is given, or a value lies outside its interval.
    """
    values = {name: value for name, value in given.items() if value not in (None, ())}
    if "dataset" not in values:
        raise InputError("`--dataset` must be given: a dataset's name, an image folder or a table.")
    for name in ("ranges", "fixed", "refine"):
        values[name] = _words(values.get(name, ()))
    values |= absolute(values)
    stem = plain_name(Path(values["dataset"]).name)
    values.setdefault("run_name", f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    if "gpus_per_trial" not in values:
        values["gpus_per_trial"] = 1.0 if _has_gpu(values.get("ray_address")) else 0.0
    created = time.strftime("%Y-%m-%d %H:%M:%S")
    return RunConfig(**values | fixed, created=created)


def absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the paths among the values absolute: places, and names of existing files."""

    def is_path(name: str, value: Any) -> bool:
        if name in ("data_dir", "run_dir", "storage"):
            return "://" not in value
        may_be = name in ("reference", "best") and "://" not in value
        return may_be and exists(value)

    # Unlike this, Path.resolve raises where links lead in a circle.
    found = {
        name: os.path.realpath(value) if is_path(name, value) else value
        for name, value in values.items()
    }
    return found | ({"dataset": absolute_dataset(found["dataset"])} if "dataset" in found else {})


def run_path(given: Mapping[str, Any]) -> Path:
    """Find the directory of a run by its name below ``run_dir``, or by its path.

    Raises:
        InputError: If there is none, or it is that of a training run.
    """
    run = given["run"]
    if not run:
        raise InputError("`--run` must be given: a run's name under --run-dir, or its path.")
    for path in (Path(given["run_dir"]) / run, Path(run)):
        if exists(path / "config.json") or exists(path / COMPARISON):
            return Path(os.path.realpath(path))
        if exists(path / "train.json"):
            run_dir, name = os.path.split(os.path.realpath(path))
            raise InputError(
                f"{path} is a training run, which has no stages; see it, or go on with it, by: "
                f"{next_command('train', RUN_NAME=name, RUN_DIR=run_dir)}"
            )
    raise InputError(f"There is no run {run!r}, neither under {given['run_dir']} nor as a path.")


def is_comparison(path: Path) -> bool:
    """Whether a run's directory is that of a comparison of scripts."""
    return exists(path / COMPARISON)


def recipe_path(given: Mapping[str, Any]) -> Path:
    """Return the path of the recipe file that a command was given.

    Raises:
        InputError: If it was given none.
    """
    if not given.get("config"):
        raise InputError("`--config` must be given: a recipe file, for example best.yaml of a run.")
    return Path(given["config"])


def go_on(path: Path, given: Mapping[str, Any], **how: Any) -> None:
    """Resume the run in a directory with new places, or with more asked of it.

    Args:
        path: Directory of the run.
        given: Values of those flags `MOVED` and `MORE` that were given.
        how: Console and beginning of the work, see `search.commands.pipeline.run_again`.

    Raises:
        InputError: If the run is a comparison of scripts, of which only more rounds can be asked.
    """
    if is_comparison(path):
        typed = [n for n in (*MOVED, *MORE) if given.get(n) not in (None, ())]
        if name := next((n for n in typed if n != "max_blocks"), ""):
            raise InputError(
                f"{path} is a comparison of scripts, which goes on with `--run` and `--max-blocks` "
                f"alone, but got `--{name.replace('_', '-')}` too."
            )
        from search.commands.compare.command import compare_again

        compare_again(path, max_blocks=given.get("max_blocks"), console=how.get("console"))
        return
    from search.commands.pipeline import run_again

    places = {name: given[name] for name in MOVED if given.get(name) is not None}
    more = {name: given[name] for name in MORE if given.get(name) not in (None, ())}
    if "refine" in more:
        more["refine"] = _words(more["refine"])
    run_again(path, more=more, **absolute(places), **how)


def train(given: Mapping[str, Any], *, console: "Console | None" = None) -> Path:
    """Train a recipe once, or go on with the training run of that name.

    Args:
        given: Values of the flags; ``data_dir`` only if it was given.
        console: Console to print to; None for standard output.

    Returns:
        Directory of the run.
    """
    from search.commands.train.command import Place
    from search.commands.train.command import train as train_once
    from search.commands.train.job import Asked
    from search.tracking.open_store import STORE_DIR
    from search.tracking.run_info import EXPERIMENT

    names = (
        *("columns", "group_by", "num_train", "epochs", "batch_size", "lr", "seed", "amp_dtype"),
        "max_image_pixels",
    )
    data_dir, dataset = given.get("data_dir"), given.get("dataset")
    asked = None
    if (
        given.get("config")
        or not given.get("run_name")
        or any(given.get(n) is not None for n in names)
    ):
        asked = Asked(
            config=recipe_path(given),
            dataset=dataset,
            data_dir=data_dir,
            **{name: given.get(name) for name in names},
        )
    place = Place(
        run_dir=Path(os.path.realpath(given["run_dir"])),
        run_name=given.get("run_name"),
        tracking_uri=given.get("tracking_uri"),
        store_dir=STORE_DIR,
        experiment=EXPERIMENT,
        dataset=dataset and absolute_dataset(dataset),
        data_dir=data_dir and os.path.realpath(data_dir),
    )
    return train_once(asked, place, console=console)


def _has_gpu(ray_address: str | None) -> bool:
    if ray_address:
        from search.engine import cluster

        cluster.connect(ray_address)
        return cluster.has_gpu()
    from search.plan.resources import has_own_gpu

    return has_own_gpu()


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    """Split values at spaces, as make passes several in one."""
    return tuple(word for text in texts for word in text.split())
