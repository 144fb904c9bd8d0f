"""The registry of metrics: name, unit, direction, and role in decisions.

A metric is computed in `trainable.evaluation` and has one entry here; search, verdict, report and
tracking use the entry and never depend on a name. A run reports a metric for each split of the data
and each kind of weights, as ``<where>/<name>``: ``val/top1``, ``test/nll``, ``val.best/top1``.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from spaces.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """The unit of a metric: how its values and differences are formatted.

    Attributes:
        word: Unit of differences, in the plural.
        scale: Factor from reported to displayed values, above 0.
        decimals: Number of decimals of displayed values.
        mark: Suffix of a value, not used for differences.
        least_span: Shortest axis of a figure in displayed values, so that noise looks small.
        least: Smallest possible displayed value.
        most: Largest possible displayed value.
    """

    word: str
    scale: float = 1.0
    decimals: int = 3
    mark: str = ""
    least_span: float
    least: float = 0.0
    most: float = math.inf

    @property
    def name(self) -> str:
        """Name of the unit beside an axis of values."""
        return self.mark.strip() or self.word

    def number(self, scaled: float) -> str:
        """Format a displayed (already scaled) value without its suffix."""
        return f"{scaled:.{self.decimals}f}"

    def value(self, value: float) -> str:
        """Format a reported value as ``96.1 %`` or ``0.123``."""
        return self.number(self.scale * value) + self.mark

    def signed(self, difference: float) -> str:
        """Format a difference without its unit, as ``+1.2``."""
        # Adding zero turns a rounded -0.0 into 0.0.
        rounded = round(self.scale * difference, self.decimals) + 0.0
        return f"{rounded:+.{self.decimals}f}"

    def change(self, difference: float) -> str:
        """Format a difference as ``+1.2 points``."""
        return f"{self.signed(difference)} {self.word}"

    def end(self, difference: float) -> str:
        """Format one end of a difference's interval.

        An end just below zero keeps its sign, as ``-0.0``, to show that zero is inside.
        """
        return f"{self.scale * difference:+.{self.decimals}f}"

    def interval(self, low: float, high: float, *, base: float | None = None) -> str:
        """Format both ends of a difference's interval, as ``[-0.0, +2.1]``.

        An end that leads out of the possible values is written as the last of them, as
        ``[+60.5, up to 100 %]``: no reader is to add 96.8 points to 12 %.

        Args:
            low: Lower end.
            high: Upper end.
            base: Reported value that the difference is counted from, if it is known.
        """
        lowest, highest = self.possible(base)
        # What rounds to the last possible value is no sum that anybody would wonder at.
        slack = 0.5 * 10.0**-self.decimals / self.scale
        first = f"down to {self.least:g}{self.mark}" if low < lowest - slack else self.end(low)
        last = f"up to {self.most:g}{self.mark}" if high > highest + slack else self.end(high)
        return f"[{first}, {last}]"

    def possible(self, base: float | None) -> tuple[float, float]:
        """Return the smallest and the largest difference that can be added to a reported value.

        Both are infinite if ``base`` is None.
        """
        if base is None:
            return (-math.inf, math.inf)
        return (self.least / self.scale - base, self.most / self.scale - base)

    def amount(self, size: float) -> str:
        """Format a chosen size such as a margin, as ``0.5 points``."""
        return f"{self.scale * size:g} {self.word}"

    @property
    def kept_decimals(self) -> int:
        """Number of decimals to store of a reported value: one more than are displayed."""
        return self.decimals + 1 + round(math.log10(self.scale))


POINTS = Unit(word="points", scale=100.0, decimals=1, mark=" %", least_span=2.0, most=100.0)
"""Unit of shares: 1 is displayed as 100 %, differences in percentage points."""
NATS = Unit(word="nats", least_span=0.05)
"""Unit of log-losses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric, with everything that the program needs to know of it.

    Attributes:
        name: Name after the slash where it is reported.
        words: Name for people.
        unit: Unit of its values.
        larger_is_better: Whether it is maximised.
        margin: Smallest change of a reported value that matters in practice.
        kind: General name in sentences, such as "accuracy"; ``words`` if empty.
        short: Head of a column; ``words`` if empty.
        counts_images: Whether it is a share of images, so that its standard error over images is
            binomial. Any other metric reports its standard error as ``<name>_se``.
        over_classes: Whether it counts every class equally, so that an image's weight depends on
            how many images its class has.
        ties_by: Name of a loss of at least 0 that breaks ties, which are common on a few hundred
            images.
        stands_for: Name of the metric that decides the dials first in a search by this one, if
            not itself: a search by a finer metric may find a better value of a coarser one.
        then: Names of the metrics that decide a dial which this one leaves open, in order.
        refined: Name of the same metric after temperature scaling. If this one changes and that
            one does not, the change is one of calibration.

    Raises:
        InputError: If ``name`` is no word in small letters, or ``margin`` is not above 0.
    """

    name: str
    words: str
    unit: Unit
    larger_is_better: bool
    margin: float
    kind: str = ""
    short: str = ""
    counts_images: bool = False
    over_classes: bool = False
    ties_by: str | None = None
    stands_for: str | None = None
    then: tuple[str, ...] = ()
    refined: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"`name` must be a word in small letters, but got {self.name!r}.")
        if not 0.0 < self.margin < math.inf:
            raise InputError(f"`0 < margin < inf` must hold, but got {self.margin!r}.")

    @property
    def sign(self) -> float:
        """1 if larger is better, else -1; a value times it is better the larger it is."""
        return 1.0 if self.larger_is_better else -1.0

    @property
    def is_share(self) -> bool:
        """Whether it is a share that is maximised, so that 1 minus it is an error rate."""
        return self.larger_is_better and self.unit == POINTS

    @property
    def noun(self) -> str:
        """General name in sentences, such as ``accuracy``."""
        return self.kind or self.words

    @property
    def head(self) -> str:
        """Head of a column, without its unit."""
        return self.short or self.words

    def on(self, where: str) -> str:
        """Return the name under which it is reported for a split, as ``val/top1``."""
        return f"{where}/{self.name}"


TOP1 = Metric(
    name="top1",
    words="top-1",
    unit=POINTS,
    larger_is_better=True,
    margin=0.005,
    kind="accuracy",
    counts_images=True,
    ties_by="nll_refined",
    then=("nll_refined", "nll"),
)
# Where one image in twenty is wrong, half a point of top-1 is a tenth of the errors, and a tenth of
# a log-loss of about 0.2 is 0.02 nats.
NLL = Metric(
    name="nll",
    words="log-loss",
    unit=NATS,
    larger_is_better=False,
    margin=0.02,
    stands_for="top1",
    refined="nll_refined",
)
NLL_REFINED = Metric(
    name="nll_refined",
    words="log-loss after temperature scaling",
    unit=NATS,
    larger_is_better=False,
    margin=0.02,
    kind="log-loss",
    stands_for="top1",
)

# No log-loss decides after these two: it counts images, so that on a long tail it speaks for the
# large classes, and who asks for one of these asks for the others.
BALANCED_TOP1 = Metric(
    name="balanced_top1",
    words="balanced accuracy",
    unit=POINTS,
    larger_is_better=True,
    margin=0.005,
    short="balanced",
    over_classes=True,
    ties_by="nll_refined",
)
MACRO_F1 = Metric(
    name="macro_f1",
    words="macro-F1",
    unit=POINTS,
    larger_is_better=True,
    margin=0.005,
    over_classes=True,
    ties_by="nll_refined",
)

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (TOP1, NLL, NLL_REFINED, BALANCED_TOP1, MACRO_F1)
}
"""All metrics by which a run may be searched and judged, by name."""
ALWAYS = (TOP1, NLL, NLL_REFINED)
"""Metrics that are shown in every run."""


@contextmanager
def declared(metric: Metric) -> Iterator[None]:
    """Have an entry for a metric that only this run has, such as what somebody's script reports.

    Raises:
        ValueError: If there is another metric of this name.
    """
    if METRICS.get(metric.name, metric) != metric:
        raise ValueError(f"There is another metric called {metric.name!r}.")
    is_new = metric.name not in METRICS
    METRICS[metric.name] = metric
    try:
        yield
    finally:
        if is_new:
            del METRICS[metric.name]


def metric_of(reported: str) -> Metric:
    """Look up a metric by its name or by a name under which it is reported.

    Raises:
        InputError: If there is none; the message lists all.
    """
    metric = METRICS.get(reported.rpartition("/")[2])
    if metric is None:
        raise InputError(f"`metric` must be one of {', '.join(METRICS)}, but got {reported!r}.")
    return metric


def searched_by(asked: str) -> str:
    """Return the name under which a run reports the metric of its search, such as ``val/top1``.

    Args:
        asked: Name of the metric, with or without ``val/``.

    Raises:
        InputError: If there is no such metric; the message lists all.
    """
    name = asked.removeprefix("val/")
    if name not in METRICS:
        raise InputError(f"`metric` must be one of {', '.join(METRICS)}, but got {asked!r}.")
    return METRICS[name].on("val")


def decided_by(searched: str) -> Metric:
    """Return the metric that decides the dials first in a run that searches by ``searched``."""
    metric = metric_of(searched)
    return metric_of(metric.stands_for) if metric.stands_for else metric


def score(metrics: Mapping[str, float], *, metric: str, num_val: int) -> float | None:
    """Compute the score of an evaluated epoch; larger is better for any metric.

    Ties of a metric that has ``ties_by`` are broken by a term below half of one image's
    contribution.

    Args:
        metrics: Metrics that the trial reported.
        metric: Name under which it reports the metric, such as ``val/top1``.
        num_val: Number of validation images behind the metric.

    Returns:
        The score, or None if this epoch was not evaluated.
    """
    if metric not in metrics:
        return None
    entry = metric_of(metric)
    value = entry.sign * metrics[metric]
    if entry.ties_by is None:
        return value
    loss = metrics[f"val/{entry.ties_by}"]
    # An image of the largest of K classes is worth 1 / (K n) of a mean over classes, where n is
    # the size of that class; neither K nor n is more than the number of images.
    least = 1.0 / num_val**2 if entry.over_classes else 1.0 / num_val
    return value - 0.5 * least * loss / (1.0 + loss)


def error_over_images(metrics: Mapping[str, float], *, metric: str, num_images: int) -> float:
    """Return the standard error of a metric over the images it was measured on.

    For a share of images it is binomial, with one right and one wrong image added so that it is
    never zero; any other metric reports its own.

    Args:
        metrics: Metrics of an evaluated epoch.
        metric: Name under which the metric is reported.
        num_images: Number of images behind it.

    Raises:
        RuntimeError: If a metric that must report its error does not.
    """
    if metric_of(metric).counts_images:
        share = (metrics[metric] * num_images + 1.0) / (num_images + 2.0)
        return math.sqrt(share * (1.0 - share) / num_images)
    if f"{metric}_se" not in metrics:
        raise RuntimeError(
            f"A run that reports {metric} must report its standard error over images as "
            f"{metric}_se, but got {', '.join(sorted(metrics))}."
        )
    return metrics[f"{metric}_se"]
