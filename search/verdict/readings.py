"""Comparison of other ways of using the confirmation's trained models, on the test images.

They are readings and no dials: nothing is decided by them, and no error control is spent on them.
Each is held against the same runs used as they are, so that its differences are paired by seed and
by image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from search.records.metrics import NLL, TOP1, Metric, metric_of
from search.verdict.blocked_model import t_quantile
from search.verdict.confirmation import SeedResult, confirm_metrics, paired_difference
from search.verdict.schema import Confirmed, Estimate, Reading
from search.verdict.wording import change_with_interval, count

READINGS = ("flip", "temperature", "soup")
"""The readings by name.

They are the mean with the mirror image, outputs divided by a temperature, and the average of the
weights of several recipes' runs of a seed (`trainable.on_test.soup`).
"""
HOLDS_FOR = (
    "These are readings, not settings: nothing was chosen by them, no error control is spent on "
    "them, and each interval stands for itself."
)


UNSEEN = 1.0
"""Images that count as turned beside those that did.

Where no image of 300 turned, the next may: with half an image of 300 expected to turn right, in all
five seeds alike, intervals without this cover at 53 %, with it at 100 %; with three right and half
a one wrong at 93 and 98 % (docs/verdict.md).
"""


def readings(
    plain: Mapping[int, SeedResult],
    changed: Mapping[str, Mapping[int, SeedResult]],
    *,
    num_images: int,
    first: Metric = TOP1,
    groups: npt.NDArray[np.int64] | None = None,
) -> dict[str, Reading]:
    """Compare each way of using the trained model with the plain one; empty without runs.

    Args:
        plain: Results of the advised recipe's runs by seed.
        changed: Results of each other way of using the models, by name and by seed.
        num_images: Test images.
        first: The metric that decides.
        groups: Group of each test image, whose images are alike; None if all are independent.
    """
    found = {}
    for name, of_seed in changed.items():
        pairs = [(plain[seed], of_seed[seed]) for seed in sorted(set(plain) & set(of_seed))]
        if not pairs:
            continue
        turns = [_turns(before, after) for before, after in pairs]
        known = [turn for turn in turns if turn is not None]
        found[name] = Reading(
            change={
                metric: _change(name, pairs, metric, num_images, groups)
                for metric in confirm_metrics(first)
            },
            seeds=len(pairs),
            turned_right=float(np.mean([right for right, _ in known])) if known else None,
            turned_wrong=float(np.mean([wrong for _, wrong in known])) if known else None,
            temperature=_reported(pairs, "test/temperature"),
            ingredients=_reported(pairs, "test/ingredients"),
        )
    return found


def _reported(pairs: Sequence[tuple[SeedResult, SeedResult]], name: str) -> float | None:
    """Average what the readings themselves report, over seeds; None if they do not."""
    values = [after.metrics[name] for _, after in pairs if name in after.metrics]
    return float(np.mean(values)) if values else None


def _change(
    name: str,
    pairs: Sequence[tuple[SeedResult, SeedResult]],
    metric: str,
    num_images: int,
    groups: npt.NDArray[np.int64] | None,
) -> Estimate:
    """Estimate a change, with `UNSEEN` images that turn, or groups of them where there are any."""
    found = paired_difference(pairs, metric, num_images, groups)
    half = (found.ci95[1] - found.ci95[0]) / 2.0
    # A temperature turns no image by construction.
    if name == "temperature" or not metric_of(metric).counts_images or not math.isfinite(half):
        return found
    num_groups = num_images if groups is None else len(np.unique(groups))
    quantile = t_quantile(0.05, max(1, num_groups - 1))
    wider = math.hypot(half, quantile * UNSEEN / num_groups)
    if name == "soup":
        # Of three seeds the means may agree by chance, though in each of them images turn.
        turned = [sum(turn) for pair in pairs if (turn := _turns(*pair)) is not None]
        wider = max(wider, quantile * math.sqrt(sum(turned)) / (len(pairs) * num_images))
    more = wider - half
    return replace(found, ci95=(found.ci95[0] - more, found.ci95[1] + more))


def _turns(before: SeedResult, after: SeedResult) -> tuple[int, int] | None:
    """Count the images that turn from wrong to right and from right to wrong; None if unknown."""
    name = TOP1.on("test")
    if name not in before.images or name not in after.images:
        return None
    turned = np.asarray(after.images[name]) - np.asarray(before.images[name])
    return int((turned > 0).sum()), int((turned < 0).sum())


def reading_sentences(confirmed: Confirmed | None, metric: Metric = TOP1) -> tuple[str, ...]:
    """Write a sentence on each reading: what it buys on test images, with its interval.

    Args:
        confirmed: The confirmation, or None if there was none.
        metric: The metric that decides.
    """
    if confirmed is None:
        return ()
    said = []
    if flip := confirmed.readings.get("flip"):
        said.append(
            "Averaging the probabilities of each test image and its mirror image changes "
            f"{_changes(flip, (metric, NLL))}{_images(flip)}, for twice the time per image."
        )
    if temperature := confirmed.readings.get("temperature"):
        said.append(
            f"Dividing the outputs by a temperature{_mean(temperature)}, fitted on the validation "
            f"images, changes {_changes(temperature, (NLL,))} and no prediction."
        )
    if soup := confirmed.readings.get("soup"):
        made_of = f"{soup.ingredients:.1f} on average, {count(soup.seeds, 'seed')}"
        said.append(
            "Averaging the weights of a seed's runs, those of all recipes that do no harm on the "
            f"validation images (a soup of {made_of}), changes {_changes(soup, (metric, NLL))}"
            f"{_images(soup)}: it {_held(soup, metric)}."
        )
    return tuple(said)


def short_readings(confirmed: Confirmed | None, metric: Metric = TOP1) -> str:
    """Write the readings on one line; empty without any."""
    if confirmed is None:
        return ""
    parts = []
    for name, words, shown in (
        ("flip", "mirror images at test time", metric),
        ("temperature", "temperature", NLL),
        ("soup", "a soup", metric),
    ):
        if reading := confirmed.readings.get(name):
            change = change_with_interval(shown.name, reading.change[shown.on("test")])
            parts.append(f"{words}{_mean(reading)}: {shown.words} {change}{_images(reading)}")
    return "; ".join(parts)


def _held(soup: Reading, metric: Metric) -> str:
    """Say how a soup compares with the advised recipe, by the metric that decides."""
    low, high = soup.change[metric.on("test")].times(metric.sign).ci95
    if low > 0.0:
        return "beats the advised recipe beyond noise"
    if high < 0.0:
        return "is worse than the advised recipe beyond noise"
    return "does not beat the advised recipe beyond noise"


def _changes(reading: Reading, metrics: tuple[Metric, ...]) -> str:
    return " and ".join(
        f"{metric.words} by {change_with_interval(name, reading.change[name])}"
        for metric in dict.fromkeys(metrics)
        if (name := metric.on("test"))
    )


def _images(reading: Reading) -> str:
    right, wrong = reading.turned_right, reading.turned_wrong
    if right is None or wrong is None or reading.temperature is not None:
        return ""
    of_seeds = f", mean of {count(reading.seeds, 'seed')}" if reading.seeds > 1 else ""
    return f" ({right:.3g} images turn right, {wrong:.3g} wrong{of_seeds})"


def _mean(reading: Reading) -> str:
    return "" if reading.temperature is None else f" of {reading.temperature:.2f}"
