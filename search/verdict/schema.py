"""Dataclasses of the verdict, with the fields of ``verdict.json`` (schema ``verdict/1``)."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from search.records.metrics import ALWAYS, NLL, TOP1, Metric, Unit

SCHEMA = "verdict/1"
FIT_STATES = ("underfit", "overfit", "balanced", "undertrained", "fit-limited", "diverged")
TURNS = ("down", "up", "leave", "inconclusive")


def effect_metrics(first: Metric = TOP1) -> tuple[str, ...]:
    """List the metrics on which effects are estimated; ``first`` decides the dials first."""
    measured = [*(m.on("val") for m in (first, *ALWAYS))]
    measured += [m.on("clean_train") for m in (first, TOP1, NLL)]
    return tuple(dict.fromkeys(measured))


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes:
        mean: The mean in the unit in which the metric is reported: accuracies in [0, 1], losses in
            nats.
        ci95: Both ends of the interval; ``(-inf, inf)`` is written as None where it is unknown.
        base: Of a difference, the measured value that it is counted from; None if it is not known.
            An end that leads from there to an impossible value is shown in words.
    """

    mean: float
    ci95: tuple[float, float]
    base: float | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether it is the difference of two equal recipes, which is exactly zero."""
        return self.mean == 0.0 and self.ci95 == (0.0, 0.0)

    def inside(self, unit: Unit) -> "Estimate":
        """Cut the interval off at the last values that can be reached from ``base``, for drawing.

        It is no interval to calculate with: ``base`` is measured, and the true one may be lower.
        """
        lowest, highest = unit.possible(self.base)
        low, high = self.ci95
        if not (math.isfinite(low) and math.isfinite(high)):
            return self
        return replace(self, ci95=(max(low, lowest), min(high, highest)))

    def as_metrics(self, name: str) -> dict[str, float]:
        """Return the mean as ``name`` and the ends as ``<name>_low``, ``<name>_high``."""
        low, high = self.ci95
        return {name: self.mean, f"{name}_low": low, f"{name}_high": high}

    def times(self, sign: float) -> "Estimate":
        """Multiply the mean and its interval by 1.0 or -1.0; the latter has no ``base``."""
        if sign > 0.0:
            return self
        low, high = self.ci95
        return Estimate(mean=-self.mean, ci95=(-high, -low))


@dataclass(frozen=True, kw_only=True, slots=True)
class Longer:
    """The result of one run of a confirmed recipe, a role, with ``times`` as many epochs.

    ``gain`` holds, per metric, the change by the longer run; ``helps`` says whether it fits and
    validates better, both beyond noise, and ``may_help`` whether, if not, that is left open.
    """

    recipe: str
    times: int
    gain: Mapping[str, Estimate]
    helps: bool
    may_help: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Fit state of the reference and of the best, each one of `FIT_STATES`, with the reasons.

    ``gap`` holds, by recipe, how much less of the share that decides (top-1 unless another one
    does) is reached on validation images than on clean training images. ``longer`` answers whether
    longer training would help; None where that was not asked, or has no result.
    """

    reference: str
    best: str
    reasons: tuple[str, ...]
    gap: Mapping[str, Estimate] = field(default_factory=dict)
    longer: Longer | None = None

    @property
    def may_want_time(self) -> bool:
        """Whether the reference does not fit, and it is open whether more epochs would help."""
        return self.reference == "fit-limited" and (self.longer is None or self.longer.may_help)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dial:
    """The verdict on one strength or extra axis: ``turn``, one of `TURNS`, with its evidence.

    ``effect`` holds, per metric, the change when only this strength goes from the reference's value
    to the best's, averaged over the levels of the others. ``selected`` is that effect on the
    deciding metric, corrected for the selection of effects that passed the test. The effect of an
    undecided dial on ``judged_by``, the metric that decides first, is smaller than
    ``matters_less_than`` either way; ``more_runs`` is the range of further runs that would decide
    it.
    """

    strength: str
    turn: str
    reference: float
    recommended: float
    effective_unit: str
    reference_effective: float
    recommended_effective: float
    effect: Mapping[str, Estimate]
    decided_by: str | None
    num_runs: int
    runs_to_decide: int | None
    remark: str = ""
    judged_by: str = TOP1.on("val")
    selected: Estimate | None = None
    matters_less_than: float | None = None
    more_runs: tuple[int, int] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the effect on the metric that decided, else that judges first.

        None if that effect has none: the strength was not varied, or all its runs diverged.
        """
        estimate = self.effect.get(self.decided_by or self.judged_by)
        return None if estimate is None else estimate.ci95


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The effect of another way of using the advised recipe's trained model, on test images.

    ``change`` holds the difference to the model as it is, by metric, paired over ``seeds`` runs and
    over images. ``turned_right`` and ``turned_wrong`` count the images of a run whose prediction
    turns, as means over runs; None if the runs did not keep each image. ``temperature`` is the mean
    of the fitted temperatures where that is the change, ``ingredients`` that of the numbers of runs
    whose weights were averaged.
    """

    change: Mapping[str, Estimate]
    seeds: int
    turned_right: float | None = None
    turned_wrong: float | None = None
    temperature: float | None = None
    ingredients: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """Results of fresh seeds on the test split, which nothing else uses.

    The means are by recipe, with ``reference_raw`` for the reference's raw weights, ``probe`` and
    ``knn`` for classifiers on frozen features of a pretrained model; what was not measured has
    none. ``advised_minus`` holds, by other recipe or classifier, the advised recipe minus it;
    ``free`` is the one of these that does best on validation images. ``readings`` holds other ways
    of using the advised recipe's models, by name.
    """

    num_images: int
    seeds: int
    reference: Mapping[str, float]
    best: Mapping[str, float]
    off: Mapping[str, float]
    best_minus_reference: Mapping[str, Estimate]
    advised: Mapping[str, float] = field(default_factory=dict)
    scaled: Mapping[str, float] = field(default_factory=dict)
    reference_raw: Mapping[str, float] = field(default_factory=dict)
    probe: Mapping[str, float] = field(default_factory=dict)
    knn: Mapping[str, float] = field(default_factory=dict)
    advised_minus: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    free: str = "reference"
    split: str = "test"


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedValue:
    """A value of a strength that was run beside the advised one.

    Attributes:
        value: The raw value.
        effective: The same in the effective unit.
        minus_advised: The metric with it minus the metric with the advised value; the intervals of
            all values of a strength hold together.
        diverged: Whether a run with it diverged.
    """

    value: float
    effective: float
    minus_advised: Estimate
    diverged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Refined:
    """The range in which a turned strength may stand, see `search.verdict.refinement`.

    Attributes:
        strength: Name of the strength.
        metric: Reported name of the metric that its dial was decided by.
        advised: The advised raw value.
        seeds: Number of fresh seeds and splits, shared by all values.
        tried: The other values, from the one beside the advised one to the reference's.
        as_good: Smallest and largest raw value of those around the advised one that are not shown
            to be worse.
        sentence: All that in words.
    """

    strength: str
    metric: str
    advised: float
    seeds: int
    tried: tuple[TriedValue, ...]
    as_good: tuple[float, float]
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DialAtSizes:
    """The effect of one setting with half, all and twice the training images, on ``metric``.

    Each effect is that of going from ``reference`` to ``tried``, as of a `Dial`. ``at_twice`` is an
    extrapolation to twice as many images as there are, and ``outlook`` says what its interval shows
    of the change there: ``helps``, ``hurts`` or ``open``. ``turned`` says whether the advised
    recipe changes the setting, by a turn or where the dial is undecided.
    """

    strength: str
    metric: str
    turned: bool
    reference: float
    tried: float
    at_half: Estimate
    at_all: Estimate
    at_twice: Estimate
    outlook: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """The change by more training images, see `search.verdict.learning_curve`.

    Attributes:
        num_half: Training images in half of them.
        num_all: Training images in all.
        num_twice: Training images that effects are extrapolated to.
        dials: Settings of the experiment.
        gain: What the advised recipe gained on test images from half to all, by metric.
        seeds: Fresh seeds behind the gain.
        sentences: All that in words, the last one on what it holds for.
    """

    num_half: int
    num_all: int
    num_twice: int
    dials: tuple[DialAtSizes, ...]
    gain: Mapping[str, Estimate]
    seeds: int
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Time that the run took, in seconds and core-seconds.

    ``train_share`` is the part of ``core_s`` spent in training steps or evaluation.
    """

    wall_s: float
    core_s: float
    train_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict of a run: which strengths to turn, to which values, and with which certainty.

    ``advised`` is the recipe of ``best.yaml`` as a mapping. ``advised_because`` gives by strength
    the reason for its value; if another recipe than the advised one is exported, that is empty and
    ``exported_because`` gives the reason. ``looks`` counts the looks at the experiment, for all of
    which its error control allows, ``top_ups`` the times that more was asked of the run, and
    ``experiment`` says both in words. ``refined`` and ``learning_curve`` have what ``--refine`` and
    ``--learning-curve`` asked for. ``metric`` is the name of the metric that decides first, in
    `search.records.metrics.METRICS`.
    """

    run: str
    dataset: str
    model: str
    num_train: int
    total_steps: int
    fit: Fit
    dials: tuple[Dial, ...]
    confirmed: Confirmed | None
    cost: Cost
    exported: str = "advised"
    sentence: str = ""
    interactions: tuple[str, ...] = field(default_factory=tuple)
    looks: int = 0
    top_ups: int = 0
    experiment: str = ""
    advised: Mapping[str, Any] = field(default_factory=dict)
    advised_because: Mapping[str, str] = field(default_factory=dict)
    exported_because: str = ""
    metric: str = TOP1.name
    refined: tuple[Refined, ...] = ()
    learning_curve: LearningCurve | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping of ``verdict.json``, with ``metric`` only if it is not top-1."""
        values = asdict(self)
        if self.metric == TOP1.name:
            del values["metric"]
        return {"schema": SCHEMA, **values}
