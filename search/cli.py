"""The command line: its commands with their flags, and exit codes.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from search.commands.errors import RunFailed, RunInterrupted
from search.flags import DIAGNOSIS, PLACES, SEARCH, Grouped, OfScript, compare_flags, flags
from search.plan.config import OF_INGREDIENTS, OF_OPTIMIZERS, RunConfig
from search.plan.dataset_place import absolute_dataset
from search.records.command_line import next_command
from search.records.files import exists
from search.records.passwords import with_password, without_passwords
from search.records.run_names import plain_name
from spaces.errors import InputError

COMPARISON = "compare.json"
"""The file that tells a comparison of scripts from a run of our own recipe."""
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


class _Commands(click.Group):
    """Commands whose help is grouped."""

    command_class = Grouped


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def cli() -> None:
    """Which regularizers of a training recipe to turn down, to what, and how sure you can be."""


@cli.command()
@flags(*SEARCH)
def run(**given: Any) -> None:
    """Search, attribute, confirm and export: the main job."""
    from search.commands.pipeline import run_new

    run_new(_config(given))


@cli.command()
@flags(*SEARCH)
def plan(**given: Any) -> None:
    """Print what a search would do and how long it would take; start nothing."""
    from search.commands.plan import print_plan

    print_plan(_config(given))


@cli.command()
@flags(*DIAGNOSIS)
def diagnose(**given: Any) -> None:
    """Judge a recipe without a search, against the size-scaled default or --best."""
    from search.commands.pipeline import run_new

    run_new(_config(given, stages=("attribute", "confirm")))


@cli.command()
@flags(
    *("run", "run_dir", "tracking_uri", "storage", "ray_address", "dataset", "data_dir"),
    *("hang_timeout_s", "max_blocks", "num_samples", "time_budget_s"),
    dataset="Where its images lie now. [default: where they were]",
    data_dir="Where its dataset lies now. [default: where it was]",
)
def resume(**given: Any) -> None:
    """Go on with an interrupted run, whichever stage it was in, or top up a finished one.

    --max-blocks and --num-samples above what was planned add blocks to the experiment and trials to
    the search, what was run included: what was turned stays, and false turns stay as rare. The
    experiment stays about the recipe it began with; a better one that the search finds is confirmed
    beside it.

    --dataset and --data-dir say where its images lie now, if they have moved; they must be the
    same.
    """
    from search.commands.pipeline import run_again

    typed = ["tracking_uri", "storage", "ray_address", "dataset", "data_dir", "hang_timeout_s"]
    places = {name: given[name] for name in typed if _was_typed(name)}
    more = {n: given[n] for n in ("max_blocks", "num_samples", "time_budget_s") if _was_typed(n)}
    path = _run_path(given)
    if exists(path / COMPARISON):
        from search.commands.compare.command import compare_again

        for name in {**places, **more}:
            raise InputError(
                f"{path} is a comparison of scripts, which goes on with --run alone, but got "
                f"--{name.replace('_', '-')} too."
            )
        compare_again(path)
        return
    run_again(path, more=more, **_absolute(places))


@cli.command()
@flags(
    *("config", "dataset", "data_dir", "columns", "group_by", "num_train", "epochs"),
    *(
        "batch_size",
        "lr",
        "seed",
        "amp_dtype",
        "max_image_pixels",
        "run_dir",
        "run_name",
        "tracking_uri",
    ),
    num_train="Train on a stratified subset of this many images. [default: as its run]",
    epochs="Epochs of the training. [default: the recipe's]",
    batch_size="Images per optimizer step. [default: the recipe's]",
    lr="Peak learning rate. [default: the recipe's]",
    amp_dtype="Precision: auto, none, bfloat16 or float16. [default: the recipe's]",
    seed="Seed of weights and batch order. [default: the recipe's]",
)
def train(**given: Any) -> None:
    """Train a recipe once, in full, on train + validation; test it once; save the model.

    The dataset is --dataset, else that of the run the recipe lies in. Weight decay, averaging
    window and warmup are moved to mean in this longer run what they meant where they were found. A
    --run-name that was interrupted goes on; it then needs no --config, and --dataset and --data-dir
    say where its images lie now, if they have moved.
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
    data_dir = given["data_dir"] if _was_typed("data_dir") else None
    asked = None
    if given["config"] or not given["run_name"] or any(given[n] is not None for n in names):
        asked = Asked(
            config=_config_path(given),
            dataset=given["dataset"],
            data_dir=data_dir,
            **{name: given[name] for name in names},
        )
    place = Place(
        run_dir=Path(os.path.realpath(given["run_dir"])),
        run_name=given["run_name"],
        tracking_uri=given["tracking_uri"],
        store_dir=STORE_DIR,
        experiment=EXPERIMENT,
        dataset=given["dataset"] and absolute_dataset(given["dataset"]),
        data_dir=data_dir and os.path.realpath(data_dir),
    )
    train_once(asked, place)


@cli.command()
@flags(
    *("run", "run_dir", "num_train", "epochs", "batch_size"),
    num_train="Rescale the recipe to so many training images. [default: the run's]",
    epochs="Rescale it to so many epochs. [default: the run's]",
    batch_size="Rescale it to so many images a step. [default: the run's]",
)
def export(**given: Any) -> None:
    """Write the recipe of a run for other trainers again, or rescaled to another size.

    best.yaml and its like are written again; a rescaled recipe gets files of its own.
    """
    from search.commands.export import export_run

    path = _run_path(given)
    export_run(path, **{k: given[k] for k in ("num_train", "epochs", "batch_size")})


@cli.command()
@flags(
    *("config", "reference", "num_train", "json"),
    num_train="Training images that the recipe is for. [default: those of its run]",
)
def diff(**given: Any) -> None:
    """What a recipe, own or timm's args.yaml, lacks against a reference, most important first."""
    from search.commands.diff import print_diff

    print_diff(
        _config_path(given),
        given["reference"],
        num_train=given["num_train"],
        as_json=given["json"],
    )


@cli.command()
@flags(
    *("dataset", "data_dir", "columns", "group_by", "model", "pretrained", "reference", "seeds"),
    *("epochs", "batch_size"),
    *("lr", "optimizer", "optimizers", "lr_trials", "metric", "num_train", "image_size"),
    *("max_image_pixels", "seed"),
    *("cpus_per_trial", "gpus_per_trial", "hang_timeout_s", "amp_dtype", *PLACES),
)
def ablate(**given: Any) -> None:
    """Train the full recipe, then without one ingredient at a time: accuracy, time, ranked.

    By default the recipe is AdamW with warmup, cosine decay, label smoothing, the no-decay split,
    mixed precision, stochastic depth, EMA, MixUp, CutMix and RandAugment, and the task ResNet-18 on
    CIFAR-100; --reference takes another recipe. Small: --dataset digits --num-train 300 --epochs 3
    --seeds 2. With --optimizers, optimizers are compared instead of ingredients, the first being
    the one that the others are held against: each gets its own learning rate by --metric on
    validation, then all are run on fresh seeds at equal epochs and in equal time.
    """
    from search.commands.ablation.variants import FULL
    from search.commands.pipeline import run_new

    if not _was_typed("reference"):
        given["reference"] = FULL
    given["dataset"] = given["dataset"] or "cifar100"
    names = tuple((given.pop("optimizers") or "").replace(",", " ").split())
    stem = Path(given["dataset"]).name
    given["run_name"] = given["run_name"] or f"ablate-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    stages = OF_OPTIMIZERS if names else OF_INGREDIENTS
    run_new(_config(given, stages=stages, optimizers=names))


@cli.command(cls=OfScript)
@compare_flags
@flags("run_dir", "run_name", "ray_address", "tracking_uri")
def compare(**given: Any) -> None:
    """Which of the differences between two configurations of any training script matter.

    Every key that differs is varied in a designed experiment, with your script as it is. For
    example: --reference mine.yaml --best paper.yaml --command 'python train.py --config {config}
    --seed {seed} --output {dir}' --metric '{dir}/summary.csv:eval_top1'
    """
    from search.commands.compare.asked import request_of
    from search.commands.compare.command import compare_new

    dry_run = given.pop("dry_run")
    compare_new(request_of(given), dry_run=dry_run)


@cli.command()
@flags(
    *("config", "num_train", "run_dir", "out"),
    num_train="Training images that the recipe is for. [default: those of its run]",
)
def schedule(**given: Any) -> None:
    """Draw the learning rate of a recipe, and the same without warmup; nothing is trained."""
    from search.commands.schedule import draw_schedule

    draw_schedule(
        _config_path(given),
        num_train=given["num_train"],
        run_dir=Path(given["run_dir"]),
        out=Path(given["out"]) if given["out"] else None,
    )


@cli.command()
@flags("host", "port", "tracking_uri")
def ui(**given: Any) -> None:
    """Serve MLflow and print the address of the newest search."""
    # Nothing that imports torch or Ray: the address is to be there within seconds.
    from search.commands.ui import serve
    from search.tracking.open_store import STORE_DIR, embedded_uri

    uri = with_password(given["tracking_uri"]) or embedded_uri(STORE_DIR)
    serve(uri, given["host"], given["port"])


def main(arguments: Sequence[str]) -> int:
    """Run a command and convert errors into exit codes.

    Returns:
        0 done, 2 wrong input (one line, nothing written), 1 failed while running, 130 interrupted.
    """
    try:
        cli.main(args=list(arguments), prog_name="python -m search", standalone_mode=False)
    except InputError as error:
        return _complain(str(error), WRONG_INPUT)
    except click.ClickException as error:
        return _complain(error.format_message(), WRONG_INPUT)
    except RunFailed as error:
        return _complain(str(error), FAILED)
    except RunInterrupted as error:
        return _complain(str(error), INTERRUPTED)
    except (KeyboardInterrupt, click.Abort):  # Outside of a run, so there is nothing to resume.
        return _complain("Interrupted.", INTERRUPTED)
    return DONE


def _complain(message: str, code: int) -> int:
    # Spaces stay as they are: a command to type next may hold a path with two in a row.
    line = " ".join(part.strip() for part in without_passwords(message).splitlines())
    # A path may hold bytes that are no text; stderr as a test or a tool replaced it refuses them.
    with suppress(OSError):  # The terminal may be gone; what ended is in the log.
        print(line.encode(errors="backslashreplace").decode(), file=sys.stderr)
    return code


def _config_path(given: dict[str, Any]) -> Path:
    if not given["config"]:
        raise InputError("`--config` must be given: a recipe file, for example best.yaml of a run.")
    return Path(given["config"])


def _was_typed(name: str) -> bool:
    """Whether the user gave a flag of this command, rather than leaving its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT


def _config(given: dict[str, Any], **settings: Any) -> RunConfig:
    """Make the run's settings, with absolute paths, as trials run in other directories."""
    values = {name: value for name, value in given.items() if value not in (None, ())}
    if "dataset" not in values:
        raise InputError("`--dataset` must be given: a dataset's name, an image folder or a table.")
    for name in ("ranges", "fixed"):
        values[name] = _words(values.get(name, ()))
    values |= _absolute(values)
    stem = plain_name(Path(values["dataset"]).name)
    values.setdefault("run_name", f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    if "gpus_per_trial" not in values:
        values["gpus_per_trial"] = 1.0 if _has_gpu(values.get("ray_address")) else 0.0
    created = time.strftime("%Y-%m-%d %H:%M:%S")
    return RunConfig(**values | settings, created=created)


def _has_gpu(ray_address: str | None) -> bool:
    if ray_address:
        from search.engine import cluster

        cluster.connect(ray_address)
        return cluster.has_gpu()
    from search.plan.resources import has_own_gpu

    return has_own_gpu()


def _absolute(values: dict[str, Any]) -> dict[str, Any]:
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


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    """Split values at spaces, as make passes several in one."""
    return tuple(word for text in texts for word in text.split())


def _run_path(given: dict[str, Any]) -> Path:
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
