"""The flags that commands share, each explained once with its unit and default."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from search.records.metrics import METRICS, NLL_REFINED

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS: dict[str, click.Option] = {}


def _flag(name: str, **settings: Any) -> None:
    _FLAGS[name] = click.Option([f"--{name}"], **settings)


_flag("dataset", help="A dataset's name, or the path of an image folder (root/<class>/*.jpg).")
_flag("data-dir", default="data", help="Where datasets lie or are downloaded to. [default: data]")
_flag("model", help="Any timm model, or resnet18_cifar. [default: by dataset]")
_flag("pretrained", type=bool, help="Start from ImageNet weights: true or false. [by dataset]")
_flag("reference", default="imagenet", help="The recipe to judge: a name or a file. [imagenet]")
_flag("best", help="A recipe file to hold against the reference instead of the scaled default.")
_flag("num-samples", type=int, help="Trials of the search, anchors included. [default: 16]")
_flag("epochs", type=int, help="Epochs of every trial. [default: by dataset]")
_flag("batch-size", type=int, help="Images per optimizer step. [default: by dataset]")
_flag("lr", type=float, help="Peak learning rate. [default: by dataset]")
_flag("optimizer", help="Optimizer of every trial. [default: the reference's]")
_flag("metric", help=f"What the search optimises: {', '.join(METRICS)}. [{NLL_REFINED.name}]")
_flag(
    "num-train",
    type=int,
    help="Train on a stratified subset of this many images; where nothing is trained: how many.",
)
_flag("image-size", type=int, help="Side of the input in pixels. [default: by dataset]")
_flag("seed", type=int, help="Seed of everything. [default: 0]")
_flag("cpus-per-trial", type=float, help="CPU cores per trial. [default: 1]")
_flag("gpus-per-trial", type=float, help="Share of a GPU per trial. [default: 1 if there is one]")
_flag(
    "patience",
    type=int,
    help="Stop searching after this many trials in a row without a gain beyond noise. [off]",
)
_flag("time-budget-s", type=float, help="Seconds after which the search starts nothing new.")
_flag("amp-dtype", help="Precision: auto, none, bfloat16 or float16. [default: auto]")
_flag("ray-address", help="A running Ray cluster: auto or host:port. [default: this machine]")
_flag(
    "storage",
    help="Directory or URI (s3://bucket/runs) for checkpoints, reached by all nodes. [the run's]",
)
_flag("tracking-uri", help="MLflow server or store. [default: sqlite under mlflow/store]")
_flag("run-dir", default="runs", help="Directory that holds runs. [default: runs]")
_flag("run-name", help="Name of this run. [default: dataset and time]")
_flag(
    "set",
    multiple=True,
    help="Range of a strength, as label_smoothing=0:0.3, or of an extra axis, which then gets a "
    "dial too: mixup_alpha, cutmix_alpha, randaugment_magnitude, layer_decay; lr gets none.",
)
_flag("fix", multiple=True, help="Strength to take out of the search, as drop_path_rate=0.")
_flag("min-blocks", type=int, help="Blocks of the experiment that always run. [default: 2]")
_flag("max-blocks", type=int, help="Most blocks of the experiment. [default: 4]")
_flag("confirm-seeds", type=int, help="Fresh seeds per recipe on the test split. [default: 3]")
_flag("rerun-top", type=int, help="Trials rerun on fresh seeds before one is picked. [default: 3]")
_flag("grace-period", type=int, help="First epoch at which a trial may be stopped.")
_flag("reduction-factor", type=int, help="How many times as late the next rung is. [default: 3]")
_flag(
    "keep",
    type=float,
    help="Share of the trials that passes a rung; 0.33 is usual for ASHA. [default: 0.9]",
)
_flag("seeds", type=int, help="Seeds of every recipe, each on a fresh split. [default: 3]")
_flag(
    "optimizers",
    help="Compare these instead, as adamw,lion,muon: at equal epochs and in equal time.",
)
_flag("lr-trials", type=int, help="Learning rates tried for each of --optimizers. [default: 5]")
_flag("run", help="A run: its name under --run-dir, or its path.")
_flag("config", help="A recipe file: best.yaml, or timm's args.yaml.")
_flag("host", default="127.0.0.1", help="Address to listen on. [default: 127.0.0.1]")
_flag("port", type=int, default=5000, help="Port to listen on; the next free one is taken.")
_flag("out", help="Folder for the drawings. [default: schedule-<recipe> under --run-dir]")
# Make passes a value with every flag: JSON=1.
_flag("json", type=bool, is_flag=False, flag_value=True, default=False, help="Print JSON.")

PLANNING = (
    "dataset data-dir model pretrained reference num-samples epochs batch-size lr optimizer metric "
    "num-train image-size seed cpus-per-trial gpus-per-trial patience time-budget-s amp-dtype "
    "ray-address storage tracking-uri run-dir run-name set fix min-blocks max-blocks confirm-seeds "
    "rerun-top grace-period reduction-factor keep"
)
"""The flags of every command that starts from a dataset."""


def flags(names: str) -> Callable[[Command], Command]:
    """Give a click command these flags, named in one string."""

    def decorate(command: Command) -> Command:
        for name in reversed(names.split()):
            option = _FLAGS[name]
            command.__dict__.setdefault("__click_params__", []).append(option)
        return command

    return decorate
