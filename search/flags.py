"""Flags of the command line: those of `search.plan.config.RunConfig`'s fields, and others.

A command names the fields that it uses; what a flag means, its type and its default stand beside
the field.
"""

from collections.abc import Callable, Mapping
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
            "columns",
            "group_by",
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
    "The experiment and the test": (
        *("min_blocks", "max_blocks", "confirm_seeds", "refine", "learning_curve"),
    ),
    "The comparison": ("seeds", "optimizers", "lr_trials"),
    "Machines": ("cpus_per_trial", "gpus_per_trial", "hang_timeout_s", "ray_address", "storage"),
    "What is written, where": ("run_dir", "run_name", "tracking_uri", "no_example", "out", "json"),
    "The server": ("host", "port"),
}
"""Headings of ``--help`` in their order, with the flags below each."""
SCRIPT_GROUPS = {
    "What is compared": ("reference", "best", "group", "fix", "require"),
    "Your script": (
        "command",
        "metric",
        "direction",
        "margin",
        "folds",
        "time_limit_s",
        "run_timeout_s",
    ),
    "The experiment": ("min_blocks", "max_blocks", "max_runs", "confirm_seeds", "seed"),
    "Machines": ("cpus_per_run", "gpus_per_run", "ray_address"),
    "What is written, where": ("run_dir", "run_name", "tracking_uri", "dry_run"),
}
"""The same for ``compare``."""
PLACES = ("ray_address", "storage", "tracking_uri", "run_dir", "run_name")
"""Fields for a run's directory, name and machines."""
SEARCH = (
    *("dataset", "data_dir", "columns", "group_by", "model", "pretrained", "reference"),
    *("num_samples", "epochs"),
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
        "refine",
        "learning_curve",
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
    """A command whose ``--help`` has its flags under headings.

    Attributes:
        groups: Headings in their order, with the names of the flags below each.
    """

    groups: Mapping[str, tuple[str, ...]] = GROUPS

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, heading by heading."""
        params = {str(param.name): param for param in self.get_params(ctx)}
        grouped = {name for names in self.groups.values() for name in names}
        rest = tuple(name for name in params if name not in grouped)
        for heading, names in {**self.groups, "Help": rest}.items():
            found = [params[name].get_help_record(ctx) for name in names if name in params]
            if records := [record for record in found if record is not None]:
                with formatter.section(heading):
                    formatter.write_dl(records)


_TEXT, _WHOLE, _REAL = click.STRING, click.INT, click.FLOAT


def _of_script(name: str, help: str, kind: Any = _TEXT, **more: Any) -> click.Option:
    return click.Option([f"--{name}"], type=kind, help=help, **more)


OF_SCRIPTS = (
    _of_script("reference", "Your own configuration: YAML, JSON or TOML."),
    _of_script("best", "The configuration that it is held against, such as a paper's."),
    _of_script(
        "command",
        "How the script is called, with {config} (a file) or {args} (flags), {seed}, {dir} and "
        "{fold}; no shell runs it.",
    ),
    _of_script(
        "metric",
        "Where a run leaves its result: '{dir}/summary.csv:top1', a key of .json or .jsonl, "
        "'log:REGEX' with one group, or mlflow:NAME. :best behind it takes the best row, not the "
        "last; :max or :min says which way is better. The first one decides; several are separated "
        "by blanks.",
        multiple=True,
    ),
    _of_script("direction", "larger or smaller is better. [default: by the metric's name]"),
    _of_script(
        "margin",
        "A smaller change of the metric counts as none. [default: half a point of a share, else "
        "1 %]",
        _REAL,
    ),
    _of_script(
        "group", "Keys that change together: 'schedule=sched,warmup_epochs'.", multiple=True
    ),
    _of_script("fix", "A key that stays at yours in every run.", multiple=True),
    _of_script(
        "require",
        "Values that need each other: 'a=x -> b=y'; several are separated by a semicolon.",
        multiple=True,
    ),
    _of_script("min-blocks", "Rounds that always run. [default: 2]", _WHOLE, default=2),
    _of_script("max-blocks", "Most rounds. [default: 32 runs' worth]", _WHOLE),
    _of_script(
        "max-runs",
        "Most runs of the experiment, in place of --max-blocks; those that confirm come on top.",
        _WHOLE,
    ),
    _of_script(
        "confirm-seeds",
        "Fresh seeds of reference, best and advised; 0 for none. [default: 5]",
        _WHOLE,
        default=5,
    ),
    _of_script("folds", "Folds that {fold} runs through. [default: a new one each block]", _WHOLE),
    _of_script("seed", "The first seed; each block has the next. [default: 0]", _WHOLE, default=0),
    _of_script(
        "cpus-per-run",
        "CPU cores of one run; 0.25 lets four share one. [default: 1]",
        _REAL,
        default=1.0,
    ),
    _of_script("gpus-per-run", "Share of a GPU of one run. [default: 0]", _REAL, default=0.0),
    _of_script("time-limit-s", "Seconds after which a run is ended. [default: none]", _REAL),
    _of_script("run-timeout-s", "The same as --time-limit-s.", _REAL),
    # Make passes a value with every flag: DRY_RUN=1.
    click.Option(
        ["--dry-run"],
        type=bool,
        is_flag=False,
        flag_value=True,
        default=False,
        help="Print the runs and their commands; start nothing.",
    ),
)
"""The flags of ``compare``: what is compared is no recipe of this project."""


def compare_flags(command: Command) -> Command:
    """Give a click command the flags of a comparison of somebody's script."""
    for option in reversed(OF_SCRIPTS):
        command.__dict__.setdefault("__click_params__", []).append(option)
    return command


class OfScript(Grouped):
    """The command that compares configurations of somebody's script."""

    groups = SCRIPT_GROUPS


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
