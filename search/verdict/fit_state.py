"""Judgement whether a recipe underfits, overfits or trains too briefly, against everything off.

Validation error is split in two: the error on clean training images (fit) and what validation
images add to it (gap). Recipes are compared with each other by margins that come from the measured
noise and are at least the metric's own margin. Errors are those of the metric that decides the
dials if it is a share, as accuracies are; else of top-1.
The state is that of the weights which ship: a recipe whose average is at chance underfits, however
well its raw weights do, and needs a shorter averaging window. Where only the average is behind, a
reason that starts with ``ema_lag`` says so and what the raw weights reach, for then no other dial
is to blame.
"""

from collections.abc import Iterable, Mapping, Sequence

from search.records.metrics import NLL, TOP1, Metric
from search.verdict.fit_evidence import ROLES, FitComparison, FitEvidence
from search.verdict.schema import Dial, Fit
from search.verdict.wording import change, listed, metric_words
from spaces.strengths.registry import strength

LARGE_GAP = 0.10
"""Gap that counts as overfitting even if no recipe that was tried validates better.

It is a convention: noise can tell that a gap exists, not that it is large.
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

    - *diverged*: at least half of its runs diverged.
    - *undertrained*: `is_undertrained`.
    - *underfit*: another recipe fits the clean training images better than X (in the metric, or in
      log-loss) and validates better, both beyond noise; for the reference also: a dial turned down
      by the deciding metric makes it fit better beyond noise.
    - *overfit*: X has a gap beyond noise, and another recipe that fits no better than X validates
      better beyond noise, or (for the reference) a regularizer is turned up by the deciding metric,
      or the gap is above `LARGE_GAP` beyond noise and is more than half of the error.
    - *balanced*: else.

    Args:
        evidence: By role: ``reference``, ``best`` and ``off``, and ``scaled`` if it was run.
        dials: Decided dials, for they rest on more runs than the recipes do.
        metric: The metric that decides the dials first.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = FitComparison(evidence, metric)
    states, reasons = {}, []
    undertrained = is_undertrained(evidence, metric=metric)
    turned = [dial for dial in dials if dial.decided_by == metric.on("val")]
    for role in ("reference", "best"):
        lost, kept = evidence[role].num_diverged, len(evidence[role].metrics)
        if lost:
            reasons.append(f"{lost} of {lost + kept} runs of {_WORDS[role]} diverged.")
        if evidence[role].has_diverged:
            states[role] = "diverged"
            continue
        state, reason = _state(role, recipes, undertrained, turned if role == "reference" else ())
        states[role] = state
        reasons += [reason, *_lag_reason(role, recipes)]
    said = (*reasons, _noise_reason(recipes))
    return Fit(reference=states["reference"], best=states["best"], reasons=said)


def is_undertrained(evidence: Mapping[str, FitEvidence], *, metric: Metric = TOP1) -> bool:
    """Whether no recipe has converged in this budget, not even everything off.

    A recipe has not converged if, beyond noise, its error on clean training images is larger than
    what validation images add to it, so that longer training would help.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = FitComparison(evidence, metric)
    judged = [role for role in ROLES if recipes.has(role, recipes.excess)]
    return "off" in judged and all(recipes.is_above(role, recipes.excess) for role in judged)


def _state(
    role: str, recipes: FitComparison, undertrained: bool, dials: Sequence[Dial]
) -> tuple[str, str]:
    clean, val = recipes.clean, recipes.val
    if not (recipes.has(role, clean) and recipes.has(role, val)):
        return "balanced", f"Nothing was measured that speaks against {_WORDS[role]}."
    both = _both(role, recipes)
    if undertrained:
        off = recipes.value("off", clean)
        reached = f"{off} of the clean training images are"
        if not recipes.metric.counts_images:
            reached = f"{off} is reached on the clean training images"
        return "undertrained", _sentence(
            f"{both}, but even with everything off only {reached}: "
            "train longer or raise the learning rate first"
        )
    others = [r for r in ROLES if r != role and recipes.has(r, val) and recipes.has(r, clean)]
    better = [r for r in others if recipes.exceeds(r, role, val)]
    eased = [r for r in better if _fits_better(r, role, recipes)]
    if eased:
        culprit = "its average" if _lags_alone(role, recipes) else "regularization"
        gains = _gains(eased[0], role, recipes)
        return "underfit", _sentence(f"{both}; {gains}, so {culprit} keeps it from fitting")
    down = [d for d in dials if d.turn == "down" and _helps_fit(d, clean)]
    if down:
        return "underfit", _sentence(f"{both}; {_turned(down)} makes it fit and validate better")
    if recipes.is_above(role, recipes.gap):
        if better:
            return "overfit", _sentence(
                f"{both}; {_WORDS[better[0]]} fits no better and validates better by "
                f"{change(val, recipes.gain(better[0], role, val))}"
            )
        up = [d for d in dials if d.turn == "up" and strength(d.strength).is_regularizer]
        if up:
            return "overfit", _sentence(f"{both}; {_turned(up)} makes it validate better")
        is_most = recipes.mean(role, recipes.excess) < 0.0
        if is_most and recipes.is_above(role, recipes.gap, LARGE_GAP):
            return "overfit", _sentence(f"{both}, a gap that no recipe tried has closed")
        return "balanced", _sentence(
            f"{both}, and no recipe tried does better beyond noise; the gap is not called large: "
            f"that takes {100 * LARGE_GAP:g} points beyond noise, and most of the error"
        )
    if better:
        gained = change(val, recipes.gain(better[0], role, val))
        return "balanced", _sentence(
            f"{both}; {_WORDS[better[0]]} validates better by {gained}, but fits no better, and "
            "there is no gap beyond noise that it could close"
        )
    return "balanced", _sentence(f"{both}, and no recipe tried does better beyond noise")


def _both(role: str, recipes: FitComparison) -> str:
    """Say how well a recipe does on clean training images and on validation images."""
    clean, val = recipes.value(role, recipes.clean), recipes.value(role, recipes.val)
    if recipes.metric.counts_images:
        fit = f"{_WORDS[role]} gets {clean} of the clean training images"
        return f"{fit} and {val} of the validation images right"
    fit = f"{_WORDS[role]} reaches {clean} {recipes.metric.words} on the clean training images"
    return f"{fit} and {val} on the validation images"


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


def _lags_alone(role: str, recipes: FitComparison) -> bool:
    """Whether the average is behind and no recipe validates better than the raw weights."""
    return recipes.is_above(role, recipes.lag) and not any(
        recipes.exceeds(other, role, recipes.val, recipes.raw) for other in ROLES if other != role
    )


def _lag_reason(role: str, recipes: FitComparison) -> list[str]:
    if not recipes.is_above(role, recipes.lag):
        return []
    head, tail = "the average of", "; these are behind another recipe too"
    if _lags_alone(role, recipes):
        head, tail = f"only {head}", ", which no other recipe beats beyond noise"
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
