"""Description of the reference's main problem in one sentence."""

from collections.abc import Sequence

from search.verdict.schema import Dial, Fit

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
    if fit.reference == "fit-limited" and fit.longer is None:
        return (
            "What is wrong with the reference: no recipe fits the training images; whether for "
            "want of time is not known."
        )
    if fit.reference not in _WRONG and any(dial.turn in ("down", "up") for dial in dials):
        return "The reference neither underfits nor overfits, but there are better settings for it."
    if fit.reference not in _WRONG:
        return "Nothing is clearly wrong with the reference: it neither underfits nor overfits."
    return f"What is wrong with the reference: {_WRONG[fit.reference]}."
