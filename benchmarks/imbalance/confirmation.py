"""Coverage of the intervals of a single run and of a confirmation, where classes differ in size.

- *run*: predictions from a known confusion matrix; value plus and minus 1.96 of the standard
  error that a run reports (`trainable.evaluation`).
- *confirmation*: two recipes with five or three seeds on the same test images
  (`search.verdict.confirmation.confirm`); the truth is over further seeds and images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.imbalance.drawn import (
    CASES,
    METRICS,
    SEED,
    SEED_OF_CLASS,
    Classes,
    Integers,
    expected,
    predicted,
    share_of,
)
from benchmarks.planted.confirmation import ALIKE, IMAGE
from benchmarks.planted.markdown import header, row
from search.verdict.confirmation import SeedResult, confirm
from trainable.evaluation import class_metrics


def one_run(case: Classes, seed: int) -> dict[str, bool]:
    """Whether the interval of a single run holds the truth, by metric."""
    rng = np.random.default_rng([seed, 1, *case.sizes])
    labels, recalls = case.labels, np.array(case.recalls)
    right = rng.random(len(labels)) < recalls[labels]
    found = class_metrics(
        labels, predicted(right, labels, rng.random(len(labels))), len(case.sizes)
    )
    truth = expected(case.sizes, recalls)
    return {
        name: abs(metric.value - truth[name]) <= 1.96 * metric.std_error
        for name, metric in found.items()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One comparison: whether its interval holds the truth, its half-width, and whether it is
    above zero.
    """

    holds: bool
    half: float
    is_better: bool


def confirmation(case: Classes, num_seeds: int, seed: int) -> dict[str, Seen]:
    """One confirmation of the better recipe against the worse one, by metric."""
    rng = np.random.default_rng([seed, 2, num_seeds, *case.sizes])
    labels = case.labels
    num = len(labels)
    recalls = np.array([case.recalls, case.worse])
    easy = rng.normal(size=num) * np.sqrt(ALIKE)
    own = rng.normal(size=(2, 1, num)) * np.sqrt(1 - ALIKE)
    of_seed = rng.normal(size=(2, num_seeds, 1)) * SEED
    of_class = rng.normal(size=(2, num_seeds, len(case.sizes)))[..., labels] * SEED_OF_CLASS
    rest_sd = np.sqrt(1 - IMAGE**2 - SEED**2 - SEED_OF_CLASS**2)
    rest = rng.normal(size=(2, num_seeds, num)) * rest_sd
    means = np.asarray(stats.norm.ppf(recalls))[:, None, labels]
    right = means + IMAGE * (easy + own) + of_seed + of_class + rest > 0.0
    # Where it is wrong an image looks like one other class, to both recipes and all seeds.
    said = predicted(right, labels, np.broadcast_to(rng.random(num), right.shape))
    results = {
        role: {s: _result(labels, said[i, s], len(case.sizes)) for s in range(num_seeds)}
        for i, role in enumerate(("advised", "reference"))
    }
    better, worse = (expected(case.sizes, of_recipe) for of_recipe in recalls)
    seen = {}
    for metric in METRICS:
        found = confirm(results, num_images=num, first=metric)
        gain = found.advised_minus["reference"][metric.on("test")]
        low, high = gain.ci95
        truth = better[metric.name] - worse[metric.name]
        seen[metric.name] = Seen(
            holds=low <= truth <= high, half=50 * (high - low), is_better=low > 0.0
        )
    return seen


def _result(labels: Integers, said: Integers, num_classes: int) -> SeedResult:
    found = class_metrics(labels, said, num_classes)
    values = {f"test/{name}": metric.value for name, metric in found.items()}
    right = labels == said
    return SeedResult(
        metrics={**values, "test/top1": float(right.mean()), "test/nll": 1.0},
        images={f"test/{name}": metric.contributions for name, metric in found.items()},
        classes=labels,
    )


def run_table(num: int) -> Iterator[str]:
    """Yield the lines of the Markdown table of single runs."""
    yield from header("images of each class", *(metric.words for metric in METRICS), numeric=2)
    for case in CASES:
        runs = [one_run(case, seed) for seed in range(num)]
        yield row(case.name, *(share_of(run[metric.name] for run in runs) for metric in METRICS))


def confirmation_table(num: int) -> Iterator[str]:
    """Yield the lines of the Markdown table of confirmations."""
    columns = [f"{m.words} {what}" for m in METRICS for what in ("covers", "half-width", "found")]
    yield from header("images of each class", "seeds", *columns, numeric=7)
    for case in CASES:
        for num_seeds in (5, 3):
            drawn = [confirmation(case, num_seeds, seed) for seed in range(num)]
            found = []
            for metric in METRICS:
                seen = [of[metric.name] for of in drawn]
                found += [
                    share_of(one.holds for one in seen),
                    f"{np.median([one.half for one in seen]):.1f}",
                    share_of(one.is_better for one in seen),
                ]
            yield row(case.name, str(num_seeds), *found)
