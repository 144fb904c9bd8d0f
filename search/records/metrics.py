"""The metrics of a run: how each is called and written, which way is better, what it decides.

A metric is computed in `trainable.evaluation` and has one entry here; search, verdict, report and
tracking ask the entry and never the name. A run reports a metric once for each part of the data and
each kind of weights, as ``<where>/<name>``: ``val/top1``, ``test/nll``, ``val.best/top1``.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from spaces.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """How the values of a metric are written.

    Attributes:
        word: What differences are counted in, in the plural.
        scale: What a reported value is multiplied by, above 0.
        decimals: Digits after the point.
        mark: What follows a value, and not a difference.
        least_span: Shortest axis of a figure, as written: noise must not look like much.
        least: Smallest value that there can be, as written.
        most: Largest value that there can be, as written.
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
        """What stands beside an axis of values."""
        return self.mark.strip() or self.word

    def number(self, scaled: float) -> str:
        """A value that is scaled already, without its mark."""
        return f"{scaled:.{self.decimals}f}"

    def value(self, value: float) -> str:
        """A value as ``96.1 %`` or ``0.123``."""
        return self.number(self.scale * value) + self.mark

    def signed(self, difference: float) -> str:
        """A difference without its unit, as ``+1.2``."""
        # Adding zero turns a rounded -0.0 into 0.0.
        rounded = round(self.scale * difference, self.decimals) + 0.0
        return f"{rounded:+.{self.decimals}f}"

    def change(self, difference: float) -> str:
        """A difference as ``+1.2 points``."""
        return f"{self.signed(difference)} {self.word}"

    def end(self, difference: float) -> str:
        """An end of an interval of a difference.

        One that lies just below zero keeps its sign, for it tells that zero lies inside.
        """
        return f"{self.scale * difference:+.{self.decimals}f}"

    def interval(self, low: float, high: float) -> str:
        """Both ends of an interval of a difference, as ``[-0.0, +2.1]``."""
        return f"[{self.end(low)}, {self.end(high)}]"

    def amount(self, size: float) -> str:
        """A size that was chosen by hand, as ``0.5 points``."""
        return f"{self.scale * size:g} {self.word}"

    @property
    def kept_decimals(self) -> int:
        """Digits after the point of a reported value that are worth keeping: one more is shown."""
        return self.decimals + 1 + round(math.log10(self.scale))


POINTS = Unit(word="points", scale=100.0, decimals=1, mark=" %", least_span=2.0, most=100.0)
"""For shares: 1, which is perfect, is written as 100 %, and differences as percentage points."""
NATS = Unit(word="nats", least_span=0.05)
"""For log-losses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: What stands after the slash where it is reported.
        words: What people call it.
        unit: How its values are written.
        larger_is_better: Whether it is maximised.
        margin: A smaller change of a reported value is not worth a turn.
        kind: What sentences call it and its like; ``words`` if empty.
        short: Head of a column; ``words`` if empty.
        counts_images: Whether it is the share of images that are right, so that its error over
            images is binomial. That of any other is reported beside it, as ``<name>_se``.
        ties_by: A loss, at least 0, that breaks ties, which are common on a few hundred images.
        stands_for: The metric that a search by this one is after, if not itself: a finer one may
            find more of it. That one decides the dials first.
        then: What decides a dial that it leaves open, in this order.
        refined: The same after what costs nothing to mend. Where this one moves and that one does
            not, the change is one of calibration.

    Raises:
        InputError: If ``name`` is no word in small letters, or ``margin`` not above 0.
    """

    name: str
    words: str
    unit: Unit
    larger_is_better: bool
    margin: float
    kind: str = ""
    short: str = ""
    counts_images: bool = False
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
        """1 where larger is better, else -1: times it, any value is better the larger it is."""
        return 1.0 if self.larger_is_better else -1.0

    @property
    def is_share(self) -> bool:
        """Whether what is missing to 1 is an error, of which parts can be told."""
        return self.larger_is_better and self.unit == POINTS

    @property
    def noun(self) -> str:
        """What a sentence calls it and its like: ``accuracy``."""
        return self.kind or self.words

    @property
    def head(self) -> str:
        """Head of a column, without its unit."""
        return self.short or self.words

    def on(self, where: str) -> str:
        """The name under which it is reported for a part of the data, as ``val/top1``."""
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
    short="refined log-loss",
    stands_for="top1",
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in (TOP1, NLL, NLL_REFINED)}
"""Every metric that a run may be searched and judged by, by name."""
ALWAYS = (TOP1, NLL, NLL_REFINED)
"""Those that are shown whatever a run is judged by."""


def metric_of(reported: str) -> Metric:
    """The entry of a metric, by its name or by any of the names under which it is reported.

    Raises:
        InputError: If there is none; the message names all.
    """
    metric = METRICS.get(reported.rpartition("/")[2])
    if metric is None:
        raise InputError(f"`metric` must be one of {', '.join(METRICS)}, but got {reported!r}.")
    return metric


def searched_by(asked: str) -> str:
    """The name under which a run reports what it is searched by, such as ``val/top1``.

    Args:
        asked: With or without ``val/``.

    Raises:
        InputError: If there is no such metric; the message names all.
    """
    name = asked.removeprefix("val/")
    if name not in METRICS:
        raise InputError(f"`metric` must be one of {', '.join(METRICS)}, but got {asked!r}.")
    return METRICS[name].on("val")


def decided_by(searched: str) -> Metric:
    """The metric that decides the dials first in a run that is searched by ``searched``."""
    metric = metric_of(searched)
    return metric_of(metric.stands_for) if metric.stands_for else metric


def score(metrics: Mapping[str, float], *, metric: str, num_val: int) -> float | None:
    """How good an evaluated epoch is; larger is better, whatever the metric.

    Ties of a metric that has ``ties_by`` are broken by a term that stays below half of what one
    image is worth.

    Args:
        metrics: What the trial reported.
        metric: Name under which it reports the metric, such as ``val/top1``.
        num_val: Validation images behind the metric.

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
    return value - 0.5 / num_val * loss / (1.0 + loss)


def error_over_images(metrics: Mapping[str, float], *, metric: str, num_images: int) -> float:
    """Standard error of a metric over the images it was measured on.

    For a share of images it is binomial, with one right and one wrong image added so that it is
    never zero; any other metric reports its own.

    Args:
        metrics: Of an evaluated epoch.
        metric: Name under which the metric is reported.
        num_images: Images behind it.

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
