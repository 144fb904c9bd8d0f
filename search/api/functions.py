"""The public functions: `search.plan`, `run`, `diagnose`, `compare`, `resume`, `train`, `load`.

Each does what the command of that name does, on the same settings (`search.commands.given`), and
returns what it found.
"""

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from search.api.arguments import (
    CompareArguments,
    Data,
    DiagnoseArguments,
    ResumeArguments,
    SearchArguments,
    Texts,
    TrainArguments,
    checked,
    converted,
    documented,
    kinds_of,
)
from search.api.arguments import Path as PathLike
from search.api.comparisons import Comparison, read_comparison
from search.api.plans import Planned, planned
from search.api.session import at_work
from search.api.trained import Trained, read_trained
from search.api.verdicts import Verdict, read_verdict
from search.commands import given as commands
from search.commands.compare.asked.flags import request_of
from search.commands.compare.command import compare_again, compare_new
from search.commands.console import make_console
from search.commands.pipeline import run_new
from search.commands.plan import print_plan
from search.plan.config import OF_DIAGNOSIS, RunConfig
from search.plan.config_file import read_config
from search.plan.option import asked_of
from spaces.errors import InputError
from trainable.data.folders.kept_images import keep_images

_RUN_DIR, _DATA_DIR = "runs", "data"
_HINT = "the stop button stops it whenever you like, and search.resume goes on"


@documented(SearchArguments)
def plan(dataset: Data, **given: Unpack[SearchArguments]) -> Planned:
    """Make the plan of a search, with the time that it would take; nothing is started or written.

    Example:
        >>> search.plan("small-transfer", num_samples=24).estimate_s

    Args:
        dataset: See `search.run`.
        given: See below.

    Returns:
        The plan, which a notebook shows as the report does.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
    """
    with at_work("Planning") as console:
        config = _settings(SearchArguments, dataset, given, function="plan")
        text = io.StringIO()
        plain = make_console(text)
        made, sizes = print_plan(config, console=plain)
        if console is not None:
            console.print(text.getvalue())
        return planned(config, made, sizes, text=text.getvalue())


@documented(SearchArguments)
def run(dataset: Data, **given: Unpack[SearchArguments]) -> Verdict:
    """Search, attribute, confirm and export: the main job.

    Stopped by Ctrl-C or the stop button of a notebook, it raises KeyboardInterrupt with the call of
    `search.resume` that goes on; so does a run whose kernel or machine died.

    Example:
        >>> verdict = search.run("images/", num_samples=16, seed=1)
        >>> verdict.dials["label_smoothing"].turn
        >>> verdict.advised.save("best.yaml")

    Args:
        dataset: A dataset's name, the path of an image folder, or images in memory: a pair of bytes
            of shape image, height, width, 3 and labels of shape image; a dataset of torch or
            torchvision whose items are pairs of a PIL image and an integer; one of Hugging Face; or
            a mapping from ``train``, ``val``, ``test`` to any of these.
        given: See below.

    Returns:
        The verdict.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
        RuntimeError: If the run failed; the message names its log and how to go on.
    """
    return _run(SearchArguments, dataset, given, function="run")


@documented(DiagnoseArguments)
def diagnose(dataset: Data, **given: Unpack[DiagnoseArguments]) -> Verdict:
    """Judge a recipe without a search, against the size-scaled default or ``best``.

    Example:
        >>> search.diagnose("images/", reference="mine.yaml").sentence

    Args:
        dataset: See `search.run`.
        given: See below.

    Returns:
        The verdict.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
        RuntimeError: If the run failed; the message names its log and how to go on.
    """
    return _run(DiagnoseArguments, dataset, given, function="diagnose", stages=OF_DIAGNOSIS)


@documented(CompareArguments)
def compare(
    reference: PathLike | None = None,
    best: PathLike | None = None,
    *,
    command: str | None = None,
    metric: Texts = (),
    run: PathLike | None = None,
    **given: Unpack[CompareArguments],
) -> Comparison:
    """Find which of the differences between two configurations of any training script matter.

    Example:
        >>> found = search.compare(
        ...     "mine.yaml",
        ...     "paper.yaml",
        ...     command="python train.py --config {config} --seed {seed} --output {dir}",
        ...     metric="{dir}/summary.csv:eval_top1",
        ... )
        >>> found.dials["label_smoothing"].turn

    Args:
        reference: Your own configuration: a file of YAML, JSON or TOML.
        best: The configuration that it is held against.
        command: Call of the script, with {config} or {args}, {seed}, {dir} and {fold}.
        metric: Where a run leaves its result; of several the first decides.
        run: Instead of all others: a comparison that was interrupted or has ended, by its name
            under ``run_dir`` or its path; it is gone on with, for more rounds if ``max_blocks`` is
            above what was planned.
        given: See below.

    Returns:
        The findings.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
        RuntimeError: If it failed; the message names the log and how to go on.
    """
    values = checked(CompareArguments, given, function="compare")
    with at_work("Compare", by="compare") as console:
        if run is not None:
            path = _run_path(run, given.get("run_dir"))
            if not commands.is_comparison(path):
                raise InputError(
                    f"{path} is no comparison; go on with: search.resume({str(path)!r})"
                )
            compare_again(path, max_blocks=values.get("max_blocks"), console=console)
            return read_comparison(path)
        several = {n: () for n, kind in kinds_of(CompareArguments).items() if kind == Texts}
        request = request_of(
            {
                **dict.fromkeys(kinds_of(CompareArguments)),
                **several,
                "run_dir": _RUN_DIR,
                "reference": reference and os.fspath(reference),
                "best": best and os.fspath(best),
                "command": command,
                "metric": converted("metric", metric, Texts),
                **values,
            }
        )
        compare_new(request, console=console)
    return read_comparison(request.path)


@documented(ResumeArguments)
def resume(run: PathLike, **given: Unpack[ResumeArguments]) -> Verdict:
    """Go on with an interrupted run, whichever stage it was in, or top up a finished one.

    Example:
        >>> search.resume("runs/images-20261129-120000", max_blocks=8)

    Args:
        run: A run: its name under ``run_dir``, or its path.
        given: See below; ``dataset`` says where its images lie now if they have moved, or holds
            them again if they came from memory.

    Returns:
        The verdict.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
        RuntimeError: If the run failed; the message names its log and how to go on.
    """
    started_at = time.monotonic()
    path = _search_path(run, given.get("run_dir"))
    with at_work(f"Going on with {path.name}", hint=_HINT) as console:
        values = checked(ResumeArguments, given, function="resume")
        values.pop("run_dir", None)
        if "dataset" in values:
            data_dir = values.get("data_dir") or read_config(path).data_dir
            values["dataset"] = _place_of(values["dataset"], data_dir)
        commands.go_on(path, values, console=console, started_at=started_at)
    return read_verdict(path)


@documented(TrainArguments)
def train(config: PathLike | None = None, **given: Unpack[TrainArguments]) -> Trained:
    """Train a recipe once, in full, on training and validation images; test it once; save it.

    Example:
        >>> search.train(verdict.path / "best.yaml").metrics["test/top1"]

    Args:
        config: A recipe file: best.yaml of a run, or timm's args.yaml. None goes on with the
            training run ``run_name``.
        given: See below.

    Returns:
        The model's file and its results.

    Raises:
        ValueError: If an argument is wrong; the message, one line, says what must hold.
        RuntimeError: If training failed; the message names its log and how to go on.
    """
    values = checked(TrainArguments, given, function="train")
    values = {"run_dir": _RUN_DIR, "config": config and os.fspath(config), **values}
    with at_work("Training", by="train") as console:
        if "dataset" in values:
            values["dataset"] = _place_of(values["dataset"], values.get("data_dir") or _DATA_DIR)
        path = commands.train(values, console=console)
    return read_trained(path)


def load(run: PathLike, *, run_dir: PathLike = _RUN_DIR) -> Verdict:
    """Read the result of a finished run again, wherever its directory is now.

    Example:
        >>> search.load("runs/images-20261129-120000").trials.sort_values("val/nll")

    Args:
        run: A run: its name under ``run_dir``, or its path.
        run_dir: Directory that holds runs.

    Returns:
        The verdict.

    Raises:
        ValueError: If there is no such run, or it has not ended.
    """
    return read_verdict(_search_path(run, run_dir))


def _run(
    arguments: type,
    dataset: Data,
    given: Mapping[str, Any],
    *,
    function: str,
    **fixed: Any,
) -> Verdict:
    started_at = time.monotonic()
    with at_work(function.capitalize(), hint=_HINT) as console:
        config = _settings(arguments, dataset, given, function=function, **fixed)
        run_new(config, console=console, started_at=started_at)
    return read_verdict(config.path)


def _settings(
    arguments: type, dataset: Data, given: Mapping[str, Any], *, function: str, **fixed: Any
) -> RunConfig:
    """Make the settings of a run from a function's arguments, as the command line makes them."""
    values = checked(arguments, given, function=function)
    data_dir = values.get("data_dir", _DATA_DIR)
    fields = {asked.flag.replace("-", "_"): name for name, asked in asked_of(RunConfig).items()}
    values = {fields[name]: value for name, value in values.items()}
    # The command line fills these in; what is kept of a run has absolute paths.
    values = {"run_dir": _RUN_DIR, "data_dir": data_dir, **values}
    return commands.settings({**values, "dataset": _place_of(dataset, data_dir)}, **fixed)


def _place_of(dataset: Data, data_dir: str) -> str:
    """Return the name or path of a dataset; images in memory are written to the disk first."""
    if isinstance(dataset, (str, os.PathLike)):
        return os.fspath(dataset)
    return str(keep_images(dataset, Path(data_dir)))


def _search_path(run: PathLike, run_dir: PathLike | None) -> Path:
    path = _run_path(run, run_dir)
    if commands.is_comparison(path):
        raise InputError(
            f"{path} is a comparison of scripts: read it, or go on with it, by "
            f"search.compare(run={str(path)!r})"
        )
    return path


def _run_path(run: PathLike, run_dir: PathLike | None) -> Path:
    where = converted("run_dir", _RUN_DIR if run_dir is None else run_dir, PathLike)
    return commands.run_path({"run": converted("run", run, PathLike), "run_dir": where})
