"""Whether a recipe underfits, overfits, or is merely too short, judged against everything off.

Validation error is split in two: what is wrong on clean training images already (fit) and what is
added on validation images (gap). Recipes are compared with each other, and margins are those of the
measured noise, at least half a point of accuracy, so that little is left to taste. The state is
that of the weights which ship: a recipe whose average is at chance does not fit, whatever its raw
weights do, and a shorter window is what eases it. Where only the average is behind, a reason that
starts with ``ema_lag`` says so and what the raw weights reach, for then no other dial is to blame.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.verdict.judgement import LOG_LOSS_MARGIN
from search.verdict.recipe_comparison import RecipeComparison
from search.verdict.schema import Dial, Fit
from search.verdict.sequential import PRACTICAL_MARGIN
from search.verdict.wording import change, listed, percent

LARGE_GAP = 0.10
"""Gap that is called large even if nothing that was tried has a smaller one and validates better.

The one convention here: noise can tell that a gap exists, not that it is much.
"""

REGULARIZERS = (
    *("weight_decay", "label_smoothing", "drop_path_rate"),
    *("mixup_alpha", "cutmix_alpha", "randaugment_magnitude"),
)
"""Strengths of which more is simply stronger: turned up they answer an overfit."""

_ROLES = ("reference", "best", "scaled", "off")
_CLEAN, _VAL, _CLEAN_LOSS = "clean_train/top1", "val/top1", "clean_train/nll"
_RAW = "val_raw/top1"
_GAP, _EXCESS, _LAG = "gap/top1", "excess/top1", "lag/top1"
_WORDS = {
    "reference": "the reference",
    "best": "the best recipe",
    "scaled": "the size-scaled default",
    "off": "everything off",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FitEvidence:
    """Final metrics of all full-length runs of one recipe.

    Attributes:
        metrics: By seed, then by name: ``clean_train/top1``, ``clean_train/nll`` and ``val/top1``
            of the weights that ship; where these are an average, also ``val_raw/top1`` and
            ``val_ema/top1``. Runs of different recipes with the same seed are compared in pairs.
        num_diverged: Further runs, which diverged.
    """

    metrics: Mapping[int, Mapping[str, float]]
    num_diverged: int = 0

    @property
    def has_diverged(self) -> bool:
        """Whether at least half of the runs did."""
        return self.num_diverged > 0 and self.num_diverged >= len(self.metrics)


def fit_state(evidence: Mapping[str, FitEvidence], *, dials: Sequence[Dial] = ()) -> Fit:
    """Judge the reference and the best.

    In this order, for a recipe X:

    - *diverged*: at least half of its runs did.
    - *undertrained*: `is_undertrained`.
    - *underfit*: another recipe fits the clean training images better than X (in top-1, or in
      log-loss) and validates better, both beyond noise; for the reference also: a dial turned down
      by validation accuracy makes it fit better beyond noise.
    - *overfit*: X has a gap beyond noise, and another recipe that fits no better than X validates
      better beyond noise, or (for the reference) a regularizer is turned up by validation accuracy,
      or the gap is above `LARGE_GAP` beyond noise and is more than half of the error.
    - *balanced*: else.

    Args:
        evidence: By role: ``reference``, ``best`` and ``off``, and ``scaled`` if it was run.
        dials: Decided dials, for they rest on more runs than the recipes do.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = _compare(evidence)
    states, reasons = {}, []
    undertrained = is_undertrained(evidence)
    for role in ("reference", "best"):
        lost, kept = evidence[role].num_diverged, len(evidence[role].metrics)
        if lost:
            reasons.append(f"{lost} of {lost + kept} runs of {_WORDS[role]} diverged.")
        if evidence[role].has_diverged:
            states[role] = "diverged"
            continue
        state, reason = _state(role, recipes, undertrained, dials if role == "reference" else ())
        states[role] = state
        reasons += [reason, *_lag_reason(role, recipes)]
    said = (*reasons, _noise_reason(recipes))
    return Fit(reference=states["reference"], best=states["best"], reasons=said)


def is_undertrained(evidence: Mapping[str, FitEvidence]) -> bool:
    """Whether even everything off has not converged in this budget, nor has any other recipe.

    Not converged: beyond noise, more of the validation error is there on clean training images
    already than is added by going to validation images, so that fitting longer is what would help.

    Raises:
        ValueError: If a role is missing or unknown.
    """
    recipes = _compare(evidence)
    judged = [role for role in _ROLES if recipes.has(role, _EXCESS)]
    return "off" in judged and all(recipes.is_above(role, _EXCESS) for role in judged)


def _state(
    role: str, recipes: RecipeComparison, undertrained: bool, dials: Sequence[Dial]
) -> tuple[str, str]:
    if not (recipes.has(role, _CLEAN) and recipes.has(role, _VAL)):
        return "balanced", f"Nothing was measured that speaks against {_WORDS[role]}."
    fit = f"{_WORDS[role]} gets {percent(recipes.mean(role, _CLEAN))} of the clean training images"
    both = f"{fit} and {percent(recipes.mean(role, _VAL))} of the validation images right"
    if undertrained:
        off = percent(recipes.mean("off", _CLEAN))
        return "undertrained", _sentence(
            f"{both}, but even with everything off only {off} of the clean training images are: "
            "train longer or raise the learning rate first"
        )
    others = [r for r in _ROLES if r != role and recipes.has(r, _VAL) and recipes.has(r, _CLEAN)]
    better = [r for r in others if recipes.exceeds(r, role, _VAL)]
    eased = [r for r in better if _fits_better(r, role, recipes)]
    if eased:
        culprit = "its average" if _lags_alone(role, recipes) else "regularization"
        gains = _gains(eased[0], role, recipes)
        return "underfit", _sentence(f"{both}; {gains}, so {culprit} keeps it from fitting")
    down = [d for d in dials if d.turn == "down" and d.decided_by == _VAL and _helps_fit(d)]
    if down:
        return "underfit", _sentence(f"{both}; {_turned(down)} makes it fit and validate better")
    if recipes.is_above(role, _GAP):
        if better:
            return "overfit", _sentence(
                f"{both}; {_WORDS[better[0]]} fits no better and validates better by "
                f"{change(_VAL, recipes.gain(better[0], role, _VAL))}"
            )
        stronger = [d for d in dials if d.turn == "up" and d.strength in REGULARIZERS]
        up = [d for d in stronger if d.decided_by == _VAL]
        if up:
            return "overfit", _sentence(f"{both}; {_turned(up)} makes it validate better")
        if recipes.mean(role, _EXCESS) < 0.0 and recipes.is_above(role, _GAP, LARGE_GAP):
            return "overfit", _sentence(f"{both}, a gap that no recipe tried has closed")
        return "balanced", _sentence(
            f"{both}, and no recipe tried does better beyond noise; the gap is not called large: "
            f"that takes {100 * LARGE_GAP:g} points beyond noise, and most of the error"
        )
    if better:
        gained = change(_VAL, recipes.gain(better[0], role, _VAL))
        return "balanced", _sentence(
            f"{both}; {_WORDS[better[0]]} validates better by {gained}, but fits no better, and "
            "there is no gap beyond noise that it could close"
        )
    return "balanced", _sentence(f"{both}, and no recipe tried does better beyond noise")


def _fits_better(role: str, other: str, recipes: RecipeComparison) -> bool:
    return recipes.exceeds(role, other, _CLEAN) or recipes.exceeds(other, role, _CLEAN_LOSS)


def _gains(eased: str, role: str, recipes: RecipeComparison) -> str:
    """Why ``role`` underfits: what the eased recipe gains, with the margins."""
    metric = _CLEAN if recipes.exceeds(eased, role, _CLEAN) else _CLEAN_LOSS

    def gained(name: str) -> str:
        unit = " of log-loss" if name == _CLEAN_LOSS else ""
        margin = change(name, recipes.margin(eased, role, name)).lstrip("+")
        return f"{change(name, recipes.gain(eased, role, name))}{unit} (margin {margin})"

    on_train = f"{_WORDS[eased]} changes that by {gained(metric)} in training"
    return f"{on_train} and {gained(_VAL)} in validation"


def _helps_fit(dial: Dial) -> bool:
    accuracy, loss = dial.effect.get(_CLEAN), dial.effect.get(_CLEAN_LOSS)
    return (accuracy is not None and accuracy.ci95[0] > 0.0) or (
        loss is not None and loss.ci95[1] < 0.0
    )


def _turned(dials: Iterable[Dial]) -> str:
    return listed([f"turning {d.strength} {d.turn}" for d in dials])


def _lags_alone(role: str, recipes: RecipeComparison) -> bool:
    """Whether the average is behind and no recipe validates better than the raw weights."""
    return recipes.is_above(role, _LAG) and not any(
        recipes.exceeds(other, role, _VAL, _RAW) for other in _ROLES if other != role
    )


def _lag_reason(role: str, recipes: RecipeComparison) -> list[str]:
    if not recipes.is_above(role, _LAG):
        return []
    head, tail = "the average of", "; these are behind another recipe too"
    if _lags_alone(role, recipes):
        head, tail = f"only {head}", ", which no other recipe beats beyond noise"
    return [
        f"ema_lag: {head} {_WORDS[role]} is behind: it gets "
        f"{percent(recipes.mean(role, 'val_ema/top1'))} of the validation images where its raw "
        f"weights get {percent(recipes.mean(role, _RAW))}{tail}."
    ]


def _noise_reason(recipes: RecipeComparison) -> str:
    spread, dof = recipes.noise(_VAL, by_seed=False)
    if not dof:
        return "Margins are half a point, for one run per recipe does not show its noise."
    return (
        f"Margins rest on {recipes.num_runs()} full-length runs, which differ by "
        f"{100 * spread:.1f} points of validation top-1 from seed to seed."
    )


def _compare(evidence: Mapping[str, FitEvidence]) -> RecipeComparison:
    missing = sorted({"reference", "best", "off"} - set(evidence))
    unknown = sorted(set(evidence) - set(_ROLES))
    if missing or unknown:
        raise ValueError(
            "Evidence must be given for reference, best and off, and may be for scaled, "
            f"but got {missing=} and {unknown=}."
        )
    metrics = {
        role: {seed: _with_parts(named) for seed, named in given.metrics.items()}
        for role, given in evidence.items()
    }
    return RecipeComparison(metrics, floors={"top1": PRACTICAL_MARGIN, "nll": LOG_LOSS_MARGIN})


def _with_parts(metrics: Mapping[str, float]) -> dict[str, float]:
    clean, val = metrics.get(_CLEAN, math.nan), metrics.get(_VAL, math.nan)
    raw, average = metrics.get(_RAW, math.nan), metrics.get("val_ema/top1", math.nan)
    gap = clean - val
    # The excess of what is wrong in training already over what validation adds.
    return {**metrics, _GAP: gap, _EXCESS: 1.0 - clean - gap, _LAG: raw - average}


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
