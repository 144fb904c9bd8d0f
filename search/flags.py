"""Flags of the command line: those of `search.plan.config.RunConfig`'s fields, and others.

A command names the fields that it uses; what a flag means, its type and its default stand beside
the field.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from search.plan.config import RunConfig
from search.plan.option import Asked, asked_of

Command = TypeVar("Command", bound=Callable[..., Any])

PLACES = ("ray_address", "storage", "tracking_uri", "run_dir", "run_name")
"""Fields for a run's directory, name and machines."""
SEARCH = (
    *("dataset", "data_dir", "model", "pretrained", "reference", "num_samples", "epochs"),
    *("batch_size", "lr", "optimizer", "metric", "num_train", "image_size", "max_image_pixels"),
    *("seed", "cpus_per_trial", "gpus_per_trial", "patience", "time_budget_s", "hang_timeout_s"),
    *(
        "amp_dtype",
        *PLACES,
        "ranges",
        "fixed",
        "min_blocks",
        "max_blocks",
        "confirm_seeds",
        "rerun_top",
    ),
    *("grace_period", "reduction_factor", "keep", "no_example"),
)
"""Fields that are flags of search, plan and diagnose."""

_OTHERS = {
    "run": click.Option(["--run"], help="A run: its name under --run-dir, or its path."),
    "config": click.Option(["--config"], help="A recipe file: best.yaml, or timm's args.yaml."),
    "host": click.Option(
        ["--host"], default="127.0.0.1", help="Address to listen on. [default: 127.0.0.1]"
    ),
    "port": click.Option(
        ["--port"],
        type=int,
        default=5000,
        help="Port to listen on; the next free one is taken. [default: 5000]",
    ),
    "out": click.Option(
        ["--out"], help="Folder for the drawings. [default: schedule-<recipe> under --run-dir]"
    ),
    # Make passes a value with every flag: JSON=1.
    "json": click.Option(
        ["--json"], type=bool, is_flag=False, flag_value=True, default=False, help="Print JSON."
    ),
}
"""Flags of single commands that are no settings of a run."""


def flags(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a click command these flags, in this order."""
    asked = asked_of(RunConfig)

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            option = _OTHERS[name] if name in _OTHERS else _flag(asked[name])
            command.__dict__.setdefault("__click_params__", []).append(option)
        return command

    return decorate


def _flag(asked: Asked) -> click.Option:
    if asked.default is False:  # Make passes a value with every flag: NO_EXAMPLE=1.
        return click.Option(
            [asked.name, f"--{asked.flag}"],
            type=bool,
            is_flag=False,
            flag_value=True,
            default=None,
            help=asked.explanation,
        )
    return click.Option(
        [asked.name, f"--{asked.flag}"],
        type=asked.kind,
        multiple=asked.option.is_repeated,
        default=asked.default if asked.option.is_filled_in else None,
        help=asked.explanation,
    )
