"""The command line: its commands with their flags, and exit codes.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from search.commands.errors import RunFailed, RunInterrupted
from search.commands.given import MORE, MOVED, go_on, recipe_path, run_path, settings
from search.commands.given import train as train_once
from search.flags import DIAGNOSIS, PLACES, SEARCH, Grouped, OfScript, compare_flags, flags
from search.plan.config import OF_DIAGNOSIS, OF_INGREDIENTS, OF_OPTIMIZERS
from search.records.command_line import as_typed
from search.records.passwords import with_password, without_passwords
from spaces.errors import InputError

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

    run_new(settings(given))


@cli.command()
@flags(*SEARCH)
def plan(**given: Any) -> None:
    """Print what a search would do and how long it would take; start nothing."""
    from search.commands.plan import print_plan

    print_plan(settings(given))


@cli.command()
@flags(*DIAGNOSIS)
def diagnose(**given: Any) -> None:
    """Judge a recipe without a search, against the size-scaled default or --best."""
    from search.commands.pipeline import run_new

    run_new(settings(given, stages=OF_DIAGNOSIS))


@cli.command()
@flags(
    *("run", "run_dir", "tracking_uri", "storage", "ray_address", "dataset", "data_dir"),
    *("hang_timeout_s", "max_blocks", "num_samples", "time_budget_s", "refine"),
    "learning_curve",
    dataset="Where its images lie now. [default: where they were]",
    data_dir="Where its dataset lies now. [default: where it was]",
)
def resume(**given: Any) -> None:
    """Go on with an interrupted run, whichever stage it was in, or top up a finished one.

    --max-blocks and --num-samples above what was planned add blocks to the experiment and trials to
    the search, what was run included: what was turned stays, and false turns stay as rare. The
    experiment stays about the recipe it began with; a better one that the search finds is confirmed
    beside it.

    --refine label_smoothing runs values between the reference's and the advised one of a strength
    that was turned, on fresh seeds: how far it may be set back.

    --learning-curve runs a block of the experiment and the advised recipe on half of the training
    images: what labelling twice as many is expected to change.

    --dataset and --data-dir say where its images lie now, if they have moved; they must be the
    same.

    A comparison (compare) takes --run and --max-blocks, there the most rounds, and none of the
    others.
    """
    go_on(run_path(given), {name: given[name] for name in (*MOVED, *MORE) if _was_typed(name)})


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
    train_once(given if _was_typed("data_dir") else {**given, "data_dir": None})


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

    export_run(run_path(given), **{k: given[k] for k in ("num_train", "epochs", "batch_size")})


@cli.command()
@flags(
    *("config", "reference", "num_train", "json"),
    num_train="Training images that the recipe is for. [default: those of its run]",
)
def diff(**given: Any) -> None:
    """What a recipe, own or timm's args.yaml, lacks against a reference, most important first."""
    from search.commands.diff import print_diff

    print_diff(
        recipe_path(given),
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
    run_new(settings(given, stages=stages, optimizers=names))


@cli.command(cls=OfScript)
@compare_flags
@flags("run_dir", "run_name", "ray_address", "tracking_uri")
def compare(**given: Any) -> None:
    """Which of the differences between two configurations of any training script matter.

    Every key that differs is varied in a designed experiment, with your script as it is. For
    example: --reference mine.yaml --best paper.yaml --command 'python train.py --config {config}
    --seed {seed} --output {dir}' --metric '{dir}/summary.csv:eval_top1'
    """
    from search.commands.compare.asked.flags import request_of
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
        recipe_path(given),
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
        return _complain(as_typed(str(error)), WRONG_INPUT)
    except click.ClickException as error:
        return _complain(as_typed(error.format_message()), WRONG_INPUT)
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


def _was_typed(name: str) -> bool:
    """Whether the user gave a flag of this command, rather than leaving its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT
