"""Everything the user asked for, resolved to plain values, as kept in ``config.json``."""

from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from search.files import read_json
from search.objective import METRICS
from spaces.errors import InputError
from spaces.recipe import OPTIMIZERS

SCHEMA = "config/1"


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
        metric: What the search optimises, one of `search.objective.METRICS`.
        num_train: Size of a stratified subset of the training images.
        image_size: Side of the input in pixels.
        seed: Seed of everything.
        cpus_per_trial: CPU cores per trial, above 0.
        gpus_per_trial: Share of a GPU per trial, at least 0.
        time_budget_s: Seconds after which nothing new is started.
        amp_dtype: Precision of every trial.
        ray_address: Address of a running Ray cluster.
        storage: Directory or URI for checkpoints.
        tracking_uri: Address of an MLflow server or store.
        run_dir: Absolute directory that holds runs.
        run_name: Name of this run.
        created: When it was asked for, in local time; tells two runs of one name apart.
        ranges: Ranges that replace those of the space, as ``name=low:high``.
        fixed: Strengths taken out of the search, as ``name=value``.
        min_blocks: Blocks of the experiment that are always run, at least 2; blocks of few runs
            count together until they are eight (`search.design.blocks_per_look`).
        max_blocks: Most blocks of the experiment.
        confirm_seeds: Fresh seeds per recipe on the test split, at least 2.
        rerun_top: Trials run again on fresh seeds before one is picked.
        grace_period: First epoch at which a trial may be stopped, or None to derive it.
        reduction_factor: One in this many trials passes a rung, at least 2.
        seeds: Blocks of an ablation or a contest of optimizers, at least 2.
        optimizers: Those that a contest compares, the base first.
        lr_trials: Learning rates that a contest tries for each optimizer, at least 3.
    """

    dataset: str
    run_dir: str
    run_name: str
    data_dir: str
    created: str
    stages: tuple[str, ...] = ("search", "attribute", "confirm")
    model: str | None = None
    pretrained: bool | None = None
    reference: str = "imagenet"
    best: str | None = None
    num_samples: int = 24
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    optimizer: str | None = None
    metric: str = "val/nll_refined"
    num_train: int | None = None
    image_size: int | None = None
    seed: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    time_budget_s: float | None = None
    amp_dtype: str | None = None
    ray_address: str | None = None
    storage: str | None = None
    tracking_uri: str | None = None
    ranges: tuple[str, ...] = field(default_factory=tuple)
    fixed: tuple[str, ...] = field(default_factory=tuple)
    min_blocks: int = 2
    max_blocks: int = 4
    confirm_seeds: int = 3
    rerun_top: int = 3
    grace_period: int | None = None
    reduction_factor: int = 3
    seeds: int = 3
    optimizers: tuple[str, ...] = ()
    lr_trials: int = 5

    def __post_init__(self) -> None:
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
        for name in ("cpus_per_trial", "time_budget_s", "num_train", "grace_period"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"`{name} > 0` must hold, but got {value!r}.")
        if self.metric not in METRICS:
            raise InputError(f"`metric` must be one of {', '.join(METRICS)}, got {self.metric!r}.")
        _check_optimizers(self.optimizers)

    @property
    def path(self) -> Path:
        """Directory of this run."""
        return Path(self.run_dir) / self.run_name

    def to_dict(self) -> dict[str, Any]:
        """Plain values as written to ``config.json``."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, path: Path) -> Self:
        """Read ``config.json``; ``path`` is where the run lies now, wherever it was made.

        Raises:
            InputError: If a key is unknown or missing.
        """
        values = {key: value for key, value in data.items() if key != "schema"}
        known = {f.name for f in fields(cls)}
        needed = {f.name for f in fields(cls) if f.default is f.default_factory is MISSING}
        if data.get("schema") != SCHEMA or set(values) - known or needed - set(values):
            raise InputError(f"{path / 'config.json'} is not a {SCHEMA} file of this version.")
        for name in ("stages", "ranges", "fixed", "optimizers"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values | {"run_dir": str(path.parent), "run_name": path.name})


def read_config(path: Path) -> RunConfig:
    """Read the ``config.json`` of the run that lies at ``path``.

    Raises:
        InputError: If there is none of this version.
    """
    return RunConfig.from_dict(read_json(path / "config.json"), path=path)


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
