"""Judgement whether a recipe underfits, overfits, or is limited in what it can fit, and by what.

Validation error is split in two: the error on clean training images (fit) and what validation
images add to it (gap). Recipes are compared with each other by margins that come from the measured
noise and are at least the metric's own margin. Errors are those of the metric that decides the
dials if it is a share, as accuracies are; else of top-1.
The state is that of the weights which ship: a recipe whose average is at chance underfits, however
well its raw weights do, and needs a shorter averaging window. Where only the average is behind, a
reason that starts with ``ema_lag`` says so and what the raw weights reach, for then no other dial
is to blame.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.records.metrics import NLL, TOP1, Metric
from search.verdict.design import EMA_FACTOR
from search.verdict.fit.evidence import ROLES, FitComparison, FitEvidence
from search.verdict.fit.longer import (
    LONGER_WORDS,
    is_mostly_unfit,
    longer_sentence,
    longer_training,
)
from search.verdict.schema import Dial, Fit, Longer
from search.verdict.wording import change, listed, metric_words
from spaces.strengths.registry import strength

LARGE_GAP = 0.10
"""Gap that counts as overfitting even if no recipe that was tried validates better.

The one convention here: noise can tell that a gap exists, not that it is much. A gap whose interval
holds this value is said to be open.
"""

_CLEAN_LOSS = NLL.on("clean_train")
_WORDS = {
    "reference": "the reference",
    "best": "the best recipe",
    "scaled": "the size-scaled default",
    "off": "everything off",
}


def fit_state(
    evidence: Mapping[str, FitEvidence], *, dials: Sequence[Dial] = (), metric: Metric = TOP1
) -> Fit:
    """Judge the fit state of the reference and of the best recipe, with reasons.

    The first that holds of these, for a recipe X:

    - *diverged*: at least half of its runs did.
    - *undertrained*: `is_undertrained`, for all recipes at once.
    - *underfit*: another recipe fits the clean training images better than X (in the metric, or in
      log-loss) and validates better, both beyond noise; for the reference also: a dial turned down
      by what decides the dials makes it fit better beyond noise.
    - *fit-limited*: of every recipe most of the error is there in training already
      (`search.verdict.fit.longer.is_mostly_unfit`), and longer training is not known to help: what
      limits the fit is the model's capacity, or labels that are wrong, if that it may help is ruled
      out.
    - *overfit*: X has a gap beyond noise, and another recipe that fits no better than X validates
      better beyond noise, or (for the reference) a regularizer is turned up by what decides the
      dials, or the interval of the gap lies above `LARGE_GAP` and the gap is more than half of the
      error.
    - *balanced*: else.

    Args:
        evidence: By role: ``reference``, ``best`` and ``off``; ``scaled`` and ``longer`` if they
            were run.
        dials: Decided dials, for they rest on more runs than the recipes do.
        metric: The metric that decides the dials first.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = FitComparison(evidence, metric)
    states, reasons = {}, []
    limit = _Limit(
        is_unfit=is_mostly_unfit(evidence, metric=metric),
        longer=longer_training(evidence, metric=metric),
    )
    turned = [
        dial
        for dial in dials
        if dial.decided_by == metric.on("val") and dial.turn in ("down", "up")
    ]
    for role in ("reference", "best"):
        lost, kept = evidence[role].num_diverged, len(evidence[role].metrics)
        if lost:
            reasons.append(f"{lost} of {lost + kept} runs of {_WORDS[role]} diverged.")
        if evidence[role].has_diverged:
            states[role] = "diverged"
            continue
        state, reason = _state(role, recipes, limit, turned if role == "reference" else ())
        states[role] = state
        reasons += [reason, *_lag_reason(role, recipes, turned if role == "reference" else ())]
    if limit.longer is not None:
        reasons.append(longer_sentence(limit.longer, metric=recipes.metric))
    return Fit(
        reference=states["reference"],
        best=states["best"],
        reasons=(*reasons, _noise_reason(recipes)),
        gap={
            role: recipes.interval(role, recipes.gap)
            for role in ROLES
            if recipes.has(role, recipes.gap)
        },
        longer=limit.longer,
    )


def is_undertrained(evidence: Mapping[str, FitEvidence], *, metric: Metric = TOP1) -> bool:
    """Whether training is too short, so that a change that helps now need not help a longer run.

    Of every recipe most of the error is there in training already, and everything off fits and
    validates better when it has twice the epochs, both beyond noise.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    if not is_mostly_unfit(evidence, metric=metric):
        return False
    longer = longer_training(evidence, metric=metric)
    return longer is not None and longer.helps


@dataclass(frozen=True, kw_only=True, slots=True)
class _Limit:
    """Evidence that the length of training limits the fit of all recipes.

    Attributes:
        is_unfit: `is_mostly_unfit`.
        longer: `longer_training`.
    """

    is_unfit: bool
    longer: Longer | None


def _state(
    role: str, recipes: FitComparison, limit: _Limit, dials: Sequence[Dial]
) -> tuple[str, str]:
    clean, val = recipes.clean, recipes.val
    if not (recipes.has(role, clean) and recipes.has(role, val)):
        return "balanced", f"Nothing was measured that speaks against {_WORDS[role]}."
    both = _both(role, recipes)
    if limit.is_unfit and limit.longer is not None and limit.longer.helps:
        return "undertrained", _sentence(
            f"{both}, and {LONGER_WORDS} does better: train longer or raise the learning rate first"
        )
    others = [r for r in ROLES if r != role and recipes.has(r, val) and recipes.has(r, clean)]
    better = [r for r in others if recipes.exceeds(r, role, val)]
    eased = [r for r in better if _fits_better(r, role, recipes)]
    if eased:
        culprit = _culprit(eased[0], role, recipes)
        gains = _gains(eased[0], role, recipes)
        return "underfit", _sentence(f"{both}; {gains}, so {culprit} it from fitting")
    down = [d for d in dials if d.turn == "down" and _helps_fit(d, clean)]
    if down:
        return "underfit", _sentence(f"{both}; {_turned(down)} makes it fit and validate better")
    if limit.is_unfit:
        same = f"{both}; most of that error is there in training already, whatever the recipe"
        if limit.longer is None:
            return "fit-limited", _sentence(
                f"{same}; whether for want of time is not known: {LONGER_WORDS} has no result"
            )
        if limit.longer.may_help:
            return "fit-limited", _sentence(
                f"{same}; whether for want of time is not known: one run of {LONGER_WORDS} leaves "
                "it open"
            )
        return "fit-limited", _sentence(
            f"{same}, and {LONGER_WORDS} validates no better beyond noise: not time, but the "
            "model's capacity or wrong labels limit the fit"
        )
    if recipes.is_above(role, recipes.gap):
        if better:
            return "overfit", _sentence(
                f"{both}; {_WORDS[better[0]]} fits no better and validates better by "
                f"{change(val, recipes.gain(better[0], role, val))}"
            )
        up = [d for d in dials if d.turn == "up" and strength(d.strength).is_regularizer]
        if up:
            return "overfit", _sentence(f"{both}; {_turned(up)} makes it validate better")
        return _by_gap(role, recipes, f"{both}, and {_no_better(role, recipes, dials)}")
    if better:
        gained = change(val, recipes.gain(better[0], role, val))
        return "balanced", _sentence(
            f"{both}; {_WORDS[better[0]]} validates better by {gained}, but fits no better, and "
            "there is no gap beyond noise that it could close"
        )
    return "balanced", _sentence(f"{both}, and {_no_better(role, recipes, dials)}")


def _by_gap(role: str, recipes: FitComparison, both: str) -> tuple[str, str]:
    """Judge whether a gap that no recipe tried has closed is large, by its interval."""
    estimate, unit = recipes.interval(role, recipes.gap), recipes.metric.unit
    low, high = estimate.ci95
    is_known = math.isfinite(low)
    shown = f"a gap of {unit.change(estimate.mean).lstrip('+')}"
    # A gap is counted from the accuracy on validation images.
    base = recipes.mean(role, recipes.val)
    shown += f" {unit.interval(low, high, base=base)}" if is_known else ""
    is_most = recipes.mean(role, recipes.excess) < 0.0
    large = unit.amount(LARGE_GAP)
    if is_most and recipes.is_above(role, recipes.gap, LARGE_GAP):
        return "overfit", _sentence(f"{both}; {shown} is called large")
    same = f"{both}; {shown}"
    if not is_most:
        return "balanced", _sentence(f"{same} is not called large: less than half of the error")
    if is_known and high < LARGE_GAP:
        return "balanced", _sentence(f"{same} is not called large: that takes {large}")
    return "balanced", _sentence(
        f"{same} may be large or not: that takes {large}, which these runs cannot tell it from"
    )


def _both(role: str, recipes: FitComparison) -> str:
    """Say how well a recipe does on clean training images and on validation images."""
    clean, val = recipes.value(role, recipes.clean), recipes.value(role, recipes.val)
    if recipes.metric.counts_images:
        fit = f"{_WORDS[role]} gets {clean} of the training images (no augmentation)"
        return f"{fit} and {val} of the validation images right"
    fit = f"{_WORDS[role]} reaches {clean} {recipes.metric.words} on the training images"
    return f"{fit} (no augmentation) and {val} on the validation images"


def _fits_better(role: str, other: str, recipes: FitComparison) -> bool:
    return recipes.exceeds(role, other, recipes.clean) or recipes.exceeds(other, role, _CLEAN_LOSS)


def _gains(eased: str, role: str, recipes: FitComparison) -> str:
    """Say why ``role`` underfits: what the recipe ``eased`` gains over it, with the margins."""
    metric = recipes.clean if recipes.exceeds(eased, role, recipes.clean) else _CLEAN_LOSS

    def gained(name: str) -> str:
        unit = " of log-loss" if name == _CLEAN_LOSS else ""
        margin = change(name, recipes.margin(eased, role, name)).lstrip("+")
        return f"{change(name, recipes.gain(eased, role, name))}{unit} (margin {margin})"

    on_train = f"{_WORDS[eased]} changes that by {gained(metric)} in training"
    return f"{on_train} and {gained(recipes.val)} in validation"


def _helps_fit(dial: Dial, clean: str) -> bool:
    accuracy, loss = dial.effect.get(clean), dial.effect.get(_CLEAN_LOSS)
    return (accuracy is not None and accuracy.ci95[0] > 0.0) or (
        loss is not None and loss.ci95[1] < 0.0
    )


def _turned(dials: Iterable[Dial]) -> str:
    return listed([f"turning {d.strength} {d.turn}" for d in dials])


def _culprit(eased: str, role: str, recipes: FitComparison) -> str:
    """Name what keeps a recipe from fitting: its average, regularization, or first the former."""
    if not recipes.is_above(role, recipes.lag):
        return "regularization keeps"
    if not _beating(role, recipes, recipes.raw):
        return "its average keeps"
    is_most = recipes.mean(role, recipes.lag) >= recipes.gain(eased, role, recipes.val) / 2
    return "its average and then regularization keep" if is_most else "regularization keeps"


def _beating(role: str, recipes: FitComparison, name: str) -> list[str]:
    """List the recipes that validate better than ``role`` does by ``name``, beyond noise."""
    others = (other for other in (*ROLES, "advised") if other != role)
    return [other for other in others if recipes.exceeds(other, role, recipes.val, name)]


def _no_better(role: str, recipes: FitComparison, dials: Sequence[Dial]) -> str:
    """Say that no recipe does better than ``role``, unless the advised one or a dial does.

    Dials rest on more runs, so that one may be turned although the recipes differ by noise only.
    """
    if dials:
        return f"{_turned(dials)} does better in the experiment, which has more runs"
    if "advised" in _beating(role, recipes, recipes.val):
        return "only the advised recipe does better beyond noise"
    return "no recipe tried does better beyond noise"


def _lag_reason(role: str, recipes: FitComparison, dials: Sequence[Dial]) -> list[str]:
    if not recipes.is_above(role, recipes.lag):
        return []
    others = [dial for dial in dials if dial.strength != EMA_FACTOR]
    if _beating(role, recipes, recipes.raw):
        head, tail = "the average of", "; these are behind another recipe too"
    elif others:
        head, tail = "the average of", f"; {_turned(others)} helps besides"
    else:
        head, tail = "only the average of", ", which no other recipe beats beyond noise"
    average, raw = recipes.value(role, recipes.average), recipes.value(role, recipes.raw)
    gets, get, images = "gets", "get", " of the validation images"
    if not recipes.metric.counts_images:
        gets, get, images = "reaches", "reach", f" {recipes.metric.words} on the validation images"
    return [
        f"ema_lag: {head} {_WORDS[role]} is behind: it {gets} {average}{images} where its raw "
        f"weights {get} {raw}{tail}."
    ]


def _noise_reason(recipes: FitComparison) -> str:
    metric = recipes.metric
    spread, dof = recipes.noise(recipes.val, by_seed=False)
    if not dof:
        zone = metric.unit.amount(metric.margin)
        return f"Margins are {zone}, for one run per recipe does not show its noise."
    return (
        f"Margins rest on {recipes.num_runs()} full-length runs, which differ by "
        f"{metric.unit.scale * spread:.{metric.unit.decimals}f} {metric.unit.word} of "
        f"{metric_words(recipes.val)} from seed to seed."
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
