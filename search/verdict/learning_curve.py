"""Extrapolation of effects and gains to twice as many training images, from half and all of them.

Runs on half of the images take as many steps, so that nothing but the images differs. Both are
taken to be linear in the logarithm of the number of images: a step from all images to twice as many
changes them by as much as the step from half to all did. That is an assumption which two sizes
cannot test, and accuracies level off, so that a step tends to bring less than the one before. All
of it is a reading: it turns nothing, and is no part of the error control of the turns.

The effect with twice as many images is ``E + (E_p - H)``: ``E`` from all blocks, ``E_p`` and ``H``
from the blocks that were run with all and with half of the images, on the same splits. With ``B``
blocks of equal size, of which ``p`` were run with both, and variance ``V`` of ``E``, that of
``E + E_p`` is ``V (B / p + 3)``. What an effect has of its split cancels in the difference, and is
in the interval of ``E``. Each part is widened by its own t quantile and they are added in squares,
as in `search.verdict.confirmation.paired_interval`, for runs on half of the images may have another
noise.
"""

import math
from collections.abc import Mapping, Sequence

from search.records.metrics import NLL, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.effects import Effect
from search.verdict.schema import Dial, DialAtSizes, Estimate, Fit, LearningCurve
from search.verdict.wording import change_with_interval, count, listed, value_text

TIMES = 2
"""Factor between the numbers of images."""
HOLDS_FOR = (
    "An extrapolation from two sizes, linear in the logarithm of the number of images, and a "
    "reading: no turn rests on it, no error control is spent on it, and each interval stands for "
    "itself."
)


def at_twice(
    at_all: Effect, paired: Effect, at_half: Effect, *, blocks: int, both: int
) -> Estimate:
    """Extrapolate an effect to twice as many images.

    Args:
        at_all: The effect with all images, from all blocks.
        paired: The same from the blocks that were run with half of the images too.
        at_half: The effect with half of the images.
        blocks: Number of all blocks.
        both: Number of the blocks that were run with both.
    """
    mean = at_all.mean + paired.mean - at_half.mean
    more = t_quantile(0.05, at_all.dof) ** 2 * at_all.std_error**2 * (blocks / both + 2.0)
    squares = [_half_width(at_all) ** 2, more, _half_width(at_half) ** 2]
    half = math.sqrt(sum(squares)) if all(map(math.isfinite, squares)) else math.inf
    return Estimate(mean=mean, ci95=(mean - half, mean + half))


def dial_at_sizes(
    dial: Dial,
    at_all: Effect,
    paired: Effect,
    at_half: Effect,
    *,
    tried: float,
    advised: float,
    blocks: int,
    both: int,
) -> DialAtSizes | None:
    """Say how the effect of a dial's change goes with the number of images; None if not known.

    Args:
        dial: The dial.
        at_all: As the others, see `at_twice`; on the metric of `judged_on`.
        paired: The effect in the blocks that were run with both numbers.
        at_half: The effect with half of the images.
        tried: The value whose effect it is.
        advised: The advised recipe's value, which may differ from the reference's without a turn.
        blocks: Number of all blocks.
        both: Number of the blocks that were run with both.
    """
    if not all(effect.is_estimable for effect in (at_all, paired, at_half)):
        return None
    metric = judged_on(dial)
    twice = at_twice(at_all, paired, at_half, blocks=blocks, both=both)
    low, high = twice.times(metric_of(metric).sign).ci95
    return DialAtSizes(
        strength=dial.strength,
        metric=metric,
        turned=advised != dial.reference,
        reference=dial.reference,
        tried=tried,
        at_half=at_half.estimate,
        at_all=at_all.estimate,
        at_twice=twice,
        outlook="helps" if low > 0.0 else "hurts" if high < 0.0 else "open",
    )


def judged_on(dial: Dial) -> str:
    """Return the reported metric on which a dial is followed: the one that decided, if any did."""
    # Runs that diverge decide a dial too, by no metric.
    by = dial.decided_by
    return by if by and "/" in by else dial.judged_by


def learning_curve(
    dials: Sequence[DialAtSizes],
    gain: Mapping[str, Estimate],
    *,
    num_half: int,
    num_all: int,
    seeds: int,
    metric: Metric,
) -> LearningCurve:
    """Put dials and gain together, with the sentences on both.

    Args:
        dials: How the effect of each dial goes with the number of images.
        gain: What the advised recipe gains from half to all images on test images, by metric;
            empty if that was not run.
        num_half: Training images in half of them.
        num_all: Training images in all.
        seeds: Fresh seeds behind the gain.
        metric: The metric that decides.
    """
    num_twice = TIMES * num_all
    said = [*_gain_sentences(gain, metric, num_half, num_all, seeds)]
    if dials:
        said.append(f"With {num_twice:,} training images, extrapolated: {_outlooks(dials)}.")
    return LearningCurve(
        num_half=num_half,
        num_all=num_all,
        num_twice=num_twice,
        dials=tuple(dials),
        gain=dict(gain),
        seeds=seeds,
        sentences=(*said, HOLDS_FOR) if said else (),
    )


def is_too_short(fit: Fit) -> bool:
    """Whether longer training is known to help, which comes before any number of images."""
    return fit.reference == "undertrained"


def short_learning_curve(found: LearningCurve, metric: Metric) -> str:
    """Write the learning curve on one line or two."""
    name = metric.on("test")
    parts = []
    if name in found.gain:
        parts.append(
            f"{found.num_half:,} -> {found.num_all:,} images: {metric.words} "
            f"{change_with_interval(name, found.gain[name])}"
        )
    flips = [f"{d.strength} {_flip(d)}" for d in found.dials if _flips(d)]
    is_open = all(dial.outlook == "open" for dial in found.dials)
    none = "these runs cannot tell of a flip" if is_open else "no flip is shown"
    parts.append(f"extrapolated to {found.num_twice:,}: {listed(flips) or none}")
    return "; ".join(parts)


def _gain_sentences(
    gain: Mapping[str, Estimate], metric: Metric, num_half: int, num_all: int, seeds: int
) -> list[str]:
    shown = [m for m in dict.fromkeys((metric, NLL)) if m.on("test") in gain]
    if not shown:
        return []
    changes = [
        f"{m.words} changes by {change_with_interval(m.on('test'), gain[m.on('test')])}"
        for m in shown
    ]
    first = gain[shown[0].on("test")]
    low, high = first.times(shown[0].sign).ci95
    further = []
    if low > 0.0:
        further = [
            f"If the next doubling brings as much as this one, labelling {num_all:,} more brings "
            "that much again; most learning curves level off, so take it as the most to expect."
        ]
        if first.base is not None and not _is_possible(shown[0], first.base + 2.0 * first.mean):
            further = ["The next doubling cannot bring as much, for less is left to gain."]
    more = "helped" if low > 0.0 else "hurt" if high < 0.0 else "are not shown to have helped"
    return [
        f"From {num_half:,} to {num_all:,} training images, for as many steps, the advised "
        f"recipe's {listed(changes)} on test images ({count(seeds, 'seed')}): more images {more}.",
        *further,
    ]


def _is_possible(metric: Metric, value: float) -> bool:
    """Whether a metric can have a value: no share is above 1, and no loss below 0."""
    return value <= 1.0 if metric.is_share else metric.larger_is_better or value >= 0.0


def _outlooks(dials: Sequence[DialAtSizes]) -> str:
    groups: dict[str, list[str]] = {}
    for dial in dials:
        values = f"{_value(dial, dial.reference)} -> {_value(dial, dial.tried)}"
        effect = change_with_interval(dial.metric, dial.at_twice)
        words = _flip(dial) if _flips(dial) else _stays(dial)
        groups.setdefault(words, []).append(f"{dial.strength} {values} ({effect})")
    return "; ".join(f"{words}: {listed(each)}" for words, each in groups.items())


def _flips(dial: DialAtSizes) -> bool:
    """Whether the extrapolated interval shows that the dial would be set the other way."""
    return dial.outlook == ("hurts" if dial.turned else "helps")


def _flip(dial: DialAtSizes) -> str:
    return "would flip back" if dial.turned else "would turn too"


def _stays(dial: DialAtSizes) -> str:
    if dial.outlook == "open":
        return "these runs cannot tell of"
    return "helps there" if dial.turned else "hurts there"


def _value(dial: DialAtSizes, value: float) -> str:
    return value_text(dial.strength, value)


def _half_width(effect: Effect) -> float:
    return (effect.ci95[1] - effect.ci95[0]) / 2.0
