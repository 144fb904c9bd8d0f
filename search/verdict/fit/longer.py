"""Test whether longer training would help, by one run of everything off with twice the epochs.

A schedule that ends at a learning rate of zero flattens every loss at its end, whether or not the
run has converged, so the slope of the last epochs says little. A longer run of the recipe that fits
fastest shows it directly. It is made only if the result matters: if the error of every recipe on
clean training images is larger than what validation images add to it.

It is ruled out that time is what is missing only if the longer run does not validate better beyond
noise, and the interval of what it gains there ends below `LARGE_GAIN`. Else that is left open.

A better fit of the training images is no proof alone, for a model that memorizes wrong labels has
it too; better validation is none either, for one run is noisy. Both must be beyond noise:
validation by the deciding metric, or by the next one (refined log-loss) if that is not decided.
"""

import math
from collections.abc import Mapping

from search.records.metrics import NLL, TOP1, Metric, metric_of
from search.verdict.fit.evidence import LONGER, ROLES, TIMES_LONGER, FitComparison, FitEvidence
from search.verdict.schema import Longer
from search.verdict.wording import change_with_interval, listed, metric_words

LONGER_WORDS = "everything off with twice the epochs"
LARGE_GAIN = 0.10
"""Gain in validation that would show time to be what is missing, as large as a gap that counts as
overfitting: a share, as all that is compared here."""


def is_mostly_unfit(evidence: Mapping[str, FitEvidence], *, metric: Metric = TOP1) -> bool:
    """Whether every recipe makes most of its error on clean training images already.

    The error on clean training images is larger than what validation images add to it, so that a
    better fit would help: in the mean of every recipe, and beyond noise in the mean of all of them.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = FitComparison(evidence, metric)
    judged = [role for role in ROLES if recipes.has(role, recipes.excess)]
    if "off" not in judged or any(recipes.mean(role, recipes.excess) <= 0.0 for role in judged):
        return False
    low, _ = recipes.mean_of_all(judged, recipes.excess).ci95
    # One run of each recipe shows no noise; then only the means are used.
    return low > 0.0 or not math.isfinite(low)


def longer_training(evidence: Mapping[str, FitEvidence], *, metric: Metric = TOP1) -> Longer | None:
    """Compare everything off with twice the epochs to everything off; None if it was not run.

    The comparison is by seed, with the noise of all recipes (`RecipeComparison.paired_gain`).

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = FitComparison(evidence, metric)
    clean_loss = NLL.on("clean_train")
    then = [metric_of(name) for name in recipes.metric.then[:1]]
    names = (recipes.clean, clean_loss, recipes.val, *(finer.on("val") for finer in then))
    gain = {
        name: recipes.paired_gain(LONGER, "off", name)
        for name in names
        if recipes.has(LONGER, name) and recipes.has("off", name)
    }
    if recipes.val not in gain or recipes.clean not in gain:
        return None

    def is_better(metric: Metric, where: str) -> bool:
        """Whether the longer run is better beyond noise and by more than the metric's margin."""
        if metric.on(where) not in gain:
            return False
        better = gain[metric.on(where)].times(metric.sign)
        return better.ci95[0] > 0.0 and better.mean > metric.margin

    fits = is_better(recipes.metric, "clean_train") or is_better(NLL, "clean_train")
    validates = is_better(recipes.metric, "val") or (
        gain[recipes.val].mean > 0.0 and any(is_better(finer, "val") for finer in then)
    )
    # Where nothing shows the noise the interval has no end, and nothing is ruled out.
    is_small = gain[recipes.val].times(recipes.metric.sign).ci95[1] < LARGE_GAIN
    helps = fits and validates
    return Longer(
        recipe="off",
        times=TIMES_LONGER,
        gain=gain,
        helps=helps,
        may_help=not helps and (validates or not is_small),
    )


def longer_sentence(longer: Longer, *, metric: Metric = TOP1) -> str:
    """Say whether longer training would help, with the numbers."""
    said = [
        f"{change_with_interval(name, of)} of {metric_words(name)}"
        for name, of in longer.gain.items()
        if name != NLL.on("clean_train")
    ]
    answer = "would help" if longer.helps else "does not help"
    if longer.may_help:
        answer = "may help, which one run leaves open"
    if not math.isfinite(longer.gain[metric.on("val")].ci95[0]):
        answer = "is not known to help, for these runs do not show their noise"
    return f"Longer training {answer}: {LONGER_WORDS} changes {listed(said)}."
