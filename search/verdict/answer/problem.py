"""The first sentences of the verdict: whether fine-tuning is worth it, and the main problem."""

from collections.abc import Sequence

from search.records.metrics import TOP1, Metric
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.schema import Confirmed, Dial, Fit

_LAG = "its weight average never caught up with its weights"
_WRONG = {
    "diverged": "it diverges in at least half of its runs",
    "undertrained": "it needs longer training, for even everything off does better with twice the "
    "epochs",
    "fit-limited": "no recipe fits the training images, and not for want of time: the model is too "
    "small, or labels are wrong",
    "underfit": "it is over-regularized, for with less it fits the training images and validates "
    "better",
    "overfit": "it overfits, for what it has learnt on the training images does not carry over to "
    "new ones",
}
"""By fit state; a balanced reference has no fault that these runs can show."""


_FROZEN = {
    "probe": "a linear probe on frozen features is",
    "knn": "neighbours by frozen features are",
}


def first_sentence(
    fit: Fit, dials: Sequence[Dial], confirmed: Confirmed | None, metric: Metric = TOP1
) -> str:
    """Say that fine-tuning does not pay where that is so, and what is wrong with the reference.

    Args:
        fit: The fit state.
        dials: Decided dials.
        confirmed: The confirmation, or None if there was none.
        metric: The metric that decides.
    """
    said = [
        frozen_sentence(confirmed, metric, too_short=fit.reference == "undertrained"),
        problem_sentence(fit, dials),
    ]
    return " ".join(filter(None, said))


def frozen_sentence(
    confirmed: Confirmed | None, metric: Metric = TOP1, *, too_short: bool = False
) -> str:
    """Say that a classifier on frozen features is as good as the advised recipe; else empty.

    Of runs that were too short it says so, for with more epochs fine-tuning may pay.

    It is as good if the 95 % interval of what the advised recipe gains over it ends below the
    metric's margin, and better if it ends below zero. Either is false with a probability of at most
    2.5 % for each of the two classifiers.
    """
    if confirmed is None:
        return ""
    name = metric.on("test")
    gains = {
        role: confirmed.advised_minus[role][name].times(metric.sign)
        for role in FROZEN_ROLES
        if name in confirmed.advised_minus.get(role, {})
    }
    as_good = [role for role, gain in gains.items() if gain.ci95[1] < metric.margin]
    if not as_good:
        return ""
    role = min(as_good, key=lambda role: gains[role].mean)
    words = "better" if gains[role].ci95[1] < 0.0 else "as good"
    what = "Fine-tuning for so few epochs" if too_short else "Fine-tuning"
    return f"{what} does not pay: {_FROZEN[role]} {words} on test images."


def problem_sentence(fit: Fit, dials: Sequence[Dial]) -> str:
    """Describe the reference's problem by its fit state and the lag of its weight average.

    Args:
        fit: The fit state.
        dials: Decided dials: where one is turned, something is wrong, whatever the fit state.
    """
    of_reference = [r for r in fit.reasons if r.startswith("ema_lag:") and " the reference " in r]
    if of_reference and fit.reference in ("underfit", "balanced", "overfit"):
        if any(r.startswith("ema_lag: only ") for r in of_reference):
            tail = "; these are behind no recipe that was tried"
        else:
            tail = ", and these can be improved on too"
        return f"What is wrong with the reference: {_LAG}{tail}."
    if fit.may_want_time:
        return (
            "What is wrong with the reference: no recipe fits the training images; whether for "
            "want of time is not known."
        )
    if fit.reference not in _WRONG and any(dial.turn in ("down", "up") for dial in dials):
        return "The reference neither underfits nor overfits, but there are better settings for it."
    if fit.reference not in _WRONG:
        return "Nothing is clearly wrong with the reference: it neither underfits nor overfits."
    return f"What is wrong with the reference: {_WRONG[fit.reference]}."
