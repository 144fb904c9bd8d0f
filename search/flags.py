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

GROUPS = {
    "What is trained, on what": (
        *(
            "config",
            "run",
            "dataset",
            "data_dir",
            "num_train",
            "image_size",
            "max_image_pixels",
            "model",
            "pretrained",
        ),
        *("model", "pretrained", "reference", "best", "epochs", "batch_size", "lr", "optimizer"),
        *("amp_dtype", "seed"),
    ),
    "The search": (
        *("num_samples", "metric", "time_budget_s", "patience", "ranges", "fixed", "rerun_top"),
        *("grace_period", "reduction_factor", "keep"),
    ),
    "The experiment and the test": ("min_blocks", "max_blocks", "confirm_seeds"),
    "The comparison": ("seeds", "optimizers", "lr_trials"),
    "Machines": ("cpus_per_trial", "gpus_per_trial", "hang_timeout_s", "ray_address", "storage"),
    "What is written, where": ("run_dir", "run_name", "tracking_uri", "no_example", "out", "json"),
    "The server": ("host", "port"),
}
"""Headings of ``--help`` in their order, with the flags below each."""
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
"""Fields that are flags of search and plan."""
_OF_SEARCH = ("num_samples", "patience", "rerun_top", "grace_period", "reduction_factor", "keep")
DIAGNOSIS = (*(name for name in SEARCH if name not in _OF_SEARCH), "best")
"""Fields that are flags of diagnose, which does not search."""

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


class Grouped(click.Command):
    """A command whose ``--help`` has its flags under the headings of `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, heading by heading."""
        params = {str(param.name): param for param in self.get_params(ctx)}
        grouped = {name for names in GROUPS.values() for name in names}
        rest = tuple(name for name in params if name not in grouped)
        for heading, names in {**GROUPS, "Help": rest}.items():
            found = [params[name].get_help_record(ctx) for name in names if name in params]
            if records := [record for record in found if record is not None]:
                with formatter.section(heading):
                    formatter.write_dl(records)


def flags(*names: str, **words: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a click command these flags, in this order.

    Args:
        names: Names of the fields.
        words: By field, the help text of the flag if it means something else to this command.
    """
    asked = asked_of(RunConfig)

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            option = _OTHERS[name] if name in _OTHERS else _flag(asked[name], words.get(name))
            command.__dict__.setdefault("__click_params__", []).append(option)
        return command

    return decorate


def _flag(asked: Asked, words: str | None) -> click.Option:
    if asked.default is False:  # Make passes a value with every flag: NO_EXAMPLE=1.
        return click.Option(
            [asked.name, f"--{asked.flag}"],
            type=bool,
            is_flag=False,
            flag_value=True,
            default=None,
            help=words or asked.explanation,
        )
    return click.Option(
        [asked.name, f"--{asked.flag}"],
        type=asked.kind,
        multiple=asked.option.is_repeated,
        default=asked.default if asked.option.is_filled_in else None,
        help=words or asked.explanation,
    )
