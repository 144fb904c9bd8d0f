"""Everything the user asked for, resolved to plain values, as kept in ``config.json``."""

import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from search.records.metrics import NLL_REFINED, searched_by
from search.records.passwords import refuse_passwords, require_address, without_passwords
from search.records.strict_json import build, require_text
from search.records.trials import SEARCH_STAGES, STAGES
from spaces.errors import InputError
from spaces.recipe import OPTIMIZERS

SCHEMA = "config/1"
OF_INGREDIENTS = ("ablate",)
OF_OPTIMIZERS = ("tune", "contest")
"""Stages by which a run is known to compare ingredients, or optimizers, and to be no search."""
PLACES = ("storage", "tracking_uri", "ray_address")
"""Where a run writes and whom it talks to outside its directory, besides ``data_dir``."""


def _new_id() -> str:
    return uuid4().hex[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One run as asked for; None means: by dataset.

    Attributes:
        dataset: Name of a dataset or absolute path of an image folder.
        stages: Which stages to run, in order.
        data_dir: Where datasets lie or are downloaded to.
        model: Name of a timm model.
        pretrained: Whether to start from ImageNet weights.
        reference: Name of a published recipe or absolute path of a recipe file.
        best: Recipe file to hold against the reference instead of searching (`diagnose`).
        num_samples: Trials of the search, anchors included, at least 4.
        epochs: Epochs of every trial.
        batch_size: Images per optimizer step.
        lr: Peak learning rate.
        optimizer: Optimizer of every trial.
        metric: What the search optimises: one of `search.records.metrics.METRICS`, with or without
            ``val/`` before it, which it has afterwards.
        num_train: Size of a stratified subset of the training images.
        image_size: Side of the input in pixels.
        seed: Seed of everything.
        cpus_per_trial: CPU cores per trial, above 0.
        gpus_per_trial: Share of a GPU per trial, at least 0.
        patience: Proposals in a row without a gain beyond noise after which the search proposes
            nothing more, at least 1, or None for all of ``num_samples``.
        time_budget_s: Seconds after which nothing new is started.
        amp_dtype: Precision of every trial.
        ray_address: Address of a running Ray cluster.
        storage: Directory or URI for checkpoints.
        tracking_uri: Address of an MLflow server or store.
        run_dir: Absolute directory that holds runs.
        run_name: Name of this run.
        created: When it was asked for, in local time.
        search_id: What the tracking store knows this run by, whatever its directory is renamed to.
        ranges: Ranges that replace those of the space, as ``name=low:high``.
        fixed: Strengths taken out of the search, as ``name=value``.
        min_blocks: Blocks of the experiment that are always run, at least 2; blocks of few runs
            count together until they are eight (`search.verdict.design.blocks_per_look`).
        max_blocks: Most blocks of the experiment.
        earlier_max_blocks: What ``max_blocks`` was before each top-up of the run, first to last.
        confirm_seeds: Fresh seeds per recipe on the test split, at least 2.
        rerun_top: Trials run again on fresh seeds before one is picked.
        grace_period: First epoch at which a trial may be stopped, or None to derive it.
        reduction_factor: Each rung is this many times as late as the one before, at least 2.
        keep: Share of the trials that passes a rung, in (0, 1].
        seeds: Blocks of an ablation or a contest of optimizers, at least 2.
        optimizers: Those that a contest compares, the base first.
        lr_trials: Learning rates that a contest tries for each optimizer, at least 3.
    """

    dataset: str
    run_dir: str
    run_name: str
    data_dir: str
    created: str
    search_id: str = field(default_factory=_new_id)
    stages: tuple[str, ...] = SEARCH_STAGES
    model: str | None = None
    pretrained: bool | None = None
    reference: str = "imagenet"
    best: str | None = None
    num_samples: int = 16
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    optimizer: str | None = None
    metric: str = NLL_REFINED.on("val")
    num_train: int | None = None
    image_size: int | None = None
    seed: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    patience: int | None = None
    time_budget_s: float | None = None
    amp_dtype: str | None = None
    ray_address: str | None = None
    storage: str | None = None
    tracking_uri: str | None = field(default=None, repr=False)  # It may hold a password.
    ranges: tuple[str, ...] = field(default_factory=tuple)
    fixed: tuple[str, ...] = field(default_factory=tuple)
    min_blocks: int = 2
    max_blocks: int = 4
    earlier_max_blocks: tuple[int, ...] = ()
    confirm_seeds: int = 3
    rerun_top: int = 3
    grace_period: int | None = None
    reduction_factor: int = 3
    keep: float = 0.9
    seeds: int = 3
    optimizers: tuple[str, ...] = ()
    lr_trials: int = 5

    def __post_init__(self) -> None:
        require_text(asdict(self))
        for name in ("storage", "ray_address"):
            refuse_passwords(name, getattr(self, name))
        require_address("tracking_uri", self.tracking_uri)
        at_least = {
            "num_samples": 4,
            "min_blocks": 2,
            "max_blocks": self.min_blocks,
            "confirm_seeds": 2,
            "rerun_top": 0,
            "reduction_factor": 2,
            "seeds": 2,
            "lr_trials": 3,
            "seed": 0,
            "gpus_per_trial": 0,
        }
        for name, minimum in at_least.items():
            if not getattr(self, name) >= minimum:
                raise InputError(
                    f"`{name} >= {minimum}` must hold, but got {getattr(self, name)!r}."
                )
        for name in ("cpus_per_trial", "patience", "time_budget_s", "num_train", "grace_period"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"`{name} > 0` must hold, but got {value!r}.")
        if not 0 < self.keep <= 1:
            raise InputError(f"`0 < keep <= 1` must hold, but got {self.keep!r}.")
        if not self.stages or set(self.stages) - set(STAGES):
            raise InputError(f"`stages` must be some of {', '.join(STAGES)}, got {self.stages!r}.")
        object.__setattr__(self, "metric", searched_by(self.metric))
        _check_optimizers(self.optimizers)

    @property
    def path(self) -> Path:
        """Directory of this run."""
        return Path(self.run_dir) / self.run_name

    def to_dict(self) -> dict[str, Any]:
        """Plain values as written to ``config.json``, without the password of the store."""
        values = asdict(self)
        if self.tracking_uri:
            values["tracking_uri"] = without_passwords(self.tracking_uri)
        return {"schema": SCHEMA, **values}

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, path: Path) -> Self:
        """Read ``config.json``; ``path`` is where the run lies now, wherever it was made.

        A run that was moved may be somebody else's: it names no place to write to and no server to
        talk to any more (`PLACES`). `search.commands.pipeline.run_again` asks for them anew.

        Raises:
            InputError: If a key is unknown or missing, or a value has the wrong type or is outside
                its interval.
        """
        file = path / "config.json"
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InputError(f"{file} is not a {SCHEMA} file of this version.")
        values = {key: value for key, value in data.items() if key != "schema"}
        # Runs that were made before there was an id are in their stores under these words.
        values.setdefault("search_id", f"{values.get('run_name')} of {values.get('created')}")
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise InputError(f"{file} is of another version: its key {unknown[0]!r} is unknown.")
        asked = build(cls, values, where=str(file))
        now = replace(asked, run_dir=str(path.parent), run_name=path.name)
        # Not Path.resolve, which raises where links lead in a circle.
        if os.path.realpath(asked.path) == os.path.realpath(path):
            return now
        data_dir = str(Path("data").resolve())
        return replace(now, storage=None, tracking_uri=None, ray_address=None, data_dir=data_dir)


def _check_optimizers(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in OPTIMIZERS:
            raise InputError(
                f"`optimizers` must be among {', '.join(OPTIMIZERS)}, but got {name!r}."
            )
    if len(names) == 1 or len(set(names)) < len(names):
        raise InputError(
            f"`optimizers` must be two or more different ones, but got {','.join(names)}."
        )
