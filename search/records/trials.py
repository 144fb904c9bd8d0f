"""Dataclasses of a trial: its specification, its records, and how it ended."""

import math
import re
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from search.records.metrics import METRICS, TOP1
from search.records.strict_json import build
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.strengths.registry import EXTRAS, STRENGTHS, strength
from trainable.run_spec import RunSpec

SEARCH_STAGES = ("search", "attribute", "confirm")
STAGES = (*SEARCH_STAGES, "refine", "learning_curve", "ablate", "tune", "contest")
_STAGE = re.compile(r"[a-z_]{1,40}")
_TRIAL_ID = re.compile(r"[a-z_]{1,40}-[0-9]{4,9}")
STATUSES = ("running", "finished", "stopped", "diverged", "failed", "killed")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """The complete specification of one training run, fixed before it starts.

    Attributes:
        stage: One of `STAGES`.
        number: Number within its stage, from 0.
        role: Purpose of the run: ``anchor:reference``, ``anchor:scaled``, ``anchor:off``,
            ``proposed`` (search), ``rerun`` (top of the search on a fresh seed), ``cell``
            (attribute), ``reference``, ``best``, ``off``, ``scaled``, ``advised`` or ``longer``
            (everything off with twice the epochs) (confirm), ``value`` (refine), ``cell`` or
            ``advised`` (learning_curve), ``full`` or ``without ...`` (ablate), an optimizer's name
            (tune, contest).
        recipe: Recipe to train; ``recipe.seed`` determines every random choice of the run.
        split_seed: Seed of a fresh split of the labelled pool (train + validation), or None for the
            dataset's own split. The test images are the same whatever the seed.
        num_train: Training images of the split to keep, class by class; None for all.
        evaluate_on: ``val`` or ``test``; only runs of confirm, and of learning_curve beside them,
            may use ``test``.
        ema_levels: Decays of further weight averages beside the recipe's own, by level name. An
            attribute run has ``{"reference": d0, "best": d1, "none": 0.0}``.
        within_levels: Raw values of factors that do not act back on training, by level name
            ``<average>.<factor>``: in an attribute run, that average is measured with them too.
        block: Block of the experiment, or None outside it.
        levels: Level of each factor in this run: -1 is the reference's value, +1 the best's.
        positions: Position of the recipe on each searched axis, in [0, 1]; empty if it lies
            outside the space.
        eval_epochs: Epochs after which it is evaluated; the last epoch always is.
        rerun_of: The trial whose recipe this one runs again on a fresh seed, or None.
        never_stop: Whether the scheduler must let it run to full length.
        with_readings: Whether other ways of using its trained model are measured on test images.
        with_frozen: Whether baselines on frozen features are measured with it, on its split.
        keep_weights: Whether the checkpoint of its last epoch is kept after its end.
        lends_weights: Whether its final weights are kept until a soup of its seed is made.
        soup_of: Names of the trials of its seed whose final weights are averaged with its own after
            its end, measured on the test images; it does not start while one of them runs.
        soup_metric: Name of the metric by which that is chosen on validation images.
    """

    stage: str
    number: int
    role: str
    recipe: Recipe
    split_seed: int | None = None
    num_train: int | None = None
    evaluate_on: str = "val"
    ema_levels: Mapping[str, float] = field(default_factory=dict)
    within_levels: Mapping[str, float] = field(default_factory=dict)
    block: int | None = None
    levels: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, float] = field(default_factory=dict)
    eval_epochs: tuple[int, ...] = ()
    rerun_of: str | None = None
    never_stop: bool = True
    with_readings: bool = False
    with_frozen: bool = False
    keep_weights: bool = False
    lends_weights: bool = False
    soup_of: tuple[str, ...] = ()
    soup_metric: str = TOP1.name

    def __post_init__(self) -> None:
        # Stage and number form the trial's name, which is part of file names.
        if not _STAGE.fullmatch(self.stage):
            raise InputError(f"`stage` must be a word in small letters, but got {self.stage!r}.")
        if self.number < 0:
            raise InputError(f"`number >= 0` must hold, but got {self.number!r}.")
        for name in self.soup_of:
            if not _TRIAL_ID.fullmatch(name):
                raise InputError(f"`soup_of` must hold names of trials, but got {name!r}.")
        if self.soup_metric not in METRICS:
            raise InputError(
                f"`soup_metric` must be one of {', '.join(METRICS)}, but got {self.soup_metric!r}."
            )

    @property
    def trial_id(self) -> str:
        """Name of the trial in every file, for example ``search-0007``."""
        return f"{self.stage}-{self.number:04d}"

    @property
    def run_spec(self) -> RunSpec:
        """The part of the specification that a worker needs."""
        return RunSpec(
            recipe=self.recipe,
            split_seed=self.split_seed,
            num_train=self.num_train,
            evaluate_on=self.evaluate_on,
            ema_levels=self.ema_levels,
            within_levels=self.within_levels,
            eval_epochs=self.eval_epochs,
            with_readings=self.with_readings,
            with_frozen=self.with_frozen,
            keep_weights=self.keep_weights,
        )

    @property
    def searched(self) -> dict[str, float]:
        """Raw values of every strength, and of the extra axes that are searched."""
        extras = (name for name in self.positions if name in EXTRAS)
        return {name: strength(name).read(self.recipe) for name in (*STRENGTHS, *extras)}

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping that the journal stores."""
        return {**asdict(self), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "a trial") -> Self:
        """Convert back from the mapping of `to_dict`.

        Args:
            data: Plain values.
            where: Beginning of an error's message.

        Raises:
            InputError: If a value is missing, of the wrong type or outside its interval.
        """
        return build(cls, data, where=where)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A trial's report after one epoch.

    Attributes:
        trial_id: `TrialSpec.trial_id`.
        stage: One of `STAGES`.
        epoch: Epochs trained so far, from 1.
        time: Time at which the driver received it, in seconds since 1970.
        metrics: Values by name; accuracies in [0, 1], losses in nats, ``cost/*`` in seconds.
            ``val/...`` is measured on the weights the recipe ships (its average if ``ema_decay >
            0``, else the raw ones), ``val_raw/...`` and ``val_ema/...`` on each. With
            `TrialSpec.ema_levels`, ``val.<level>/...`` and ``clean_train.<level>/...`` are measured
            on that average, and ``val.<average>.<factor>/...`` with another value of a factor
            (`TrialSpec.within_levels`). Epochs without an evaluation hold no ``val*`` key.
    """

    trial_id: str
    stage: str
    epoch: int
    metrics: Mapping[str, float]
    time: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Convert to the flat mapping of one line of ``records.jsonl``."""
        head = {
            "trial_id": self.trial_id,
            "stage": self.stage,
            "epoch": self.epoch,
            "time": self.time,
        }
        return {**head, **self.metrics}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Convert back from one line of ``records.jsonl``."""
        head = ("trial_id", "stage", "epoch", "time")
        return cls(
            **{name: data[name] for name in head},
            metrics={sys.intern(name): value for name, value in data.items() if name not in head},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A trial with its state according to the journal.

    Attributes:
        spec: Specification of the trial.
        records: Reported epochs in order, without gaps or repeats.
        status: One of `STATUSES`; ``stopped`` means early, by the scheduler.
        reason: Reason of its end in words, empty while running or finished.
        checkpoint: Path or URI of its newest checkpoint, or None.
        node: Id of the Ray node that it ran on last, or empty.
    """

    spec: TrialSpec
    records: tuple[Record, ...] = ()
    status: str = "running"
    reason: str = ""
    checkpoint: str | None = None
    node: str = ""

    @property
    def epoch(self) -> int:
        """Number of epochs reported so far."""
        return self.records[-1].epoch if self.records else 0

    @property
    def block(self) -> int:
        """Block of the experiment that it belongs to; only for trials of a block."""
        assert self.spec.block is not None
        return self.spec.block

    @property
    def is_full_length(self) -> bool:
        """Whether it trained for all epochs of its recipe."""
        return self.status == "finished" and self.epoch == self.spec.recipe.epochs

    def last(self, metric: str) -> float | None:
        """Return the newest reported value of ``metric``, or None if there is none."""
        for record in reversed(self.records):
            if metric in record.metrics:
                return record.metrics[metric]
        return None


def epoch_seconds(trial: Trial) -> float:
    """Compute the median seconds of an epoch's training steps, with data and augmentation.

    The first epoch is left out if there is another, as it includes allocating memory and choosing
    kernels. NaN if nothing was reported.
    """
    found = [
        record.metrics["cost/train_s"]
        for record in trial.records
        if "cost/train_s" in record.metrics
    ]
    return statistics.median(found[1:] or found) if found else math.nan


def train_seconds(trial: Trial) -> float:
    """Add up the seconds of all training steps."""
    return sum(record.metrics.get("cost/train_s", 0.0) for record in trial.records)
