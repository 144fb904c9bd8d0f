"""The value that one dial gives to the advised recipe, and the reason for it."""

from search.records.metrics import metric_of
from search.verdict.schema import Dial
from search.verdict.wording import change, value_text
from spaces.strengths.registry import known

USUAL_EFFECT = 2.0
"""Usual size of an effect in margins of the metric; `shrunken` takes it as the prior's spread."""

_NORMAL = 1.959964


def advised_value(dial: Dial) -> tuple[float, str]:
    """Return the value that the advised recipe gives to the dial's strength, and why.

    An undecided one is changed to the value that was tried if that is expected to gain the metric's
    margin or more; to off already if off did no worse, for the simpler value wins a tie.
    """
    reference = value_text(dial.strength, dial.reference)
    if dial.turn in ("down", "up"):
        return dial.recommended, f"turned {dial.turn} from {reference}"
    if dial.turn == "leave":
        return dial.reference, "the reference's value"
    gain = shrunken(dial)
    metric = metric_of(dial.judged_by)
    factor = known().get(dial.strength)
    is_off = factor is not None and dial.recommended == factor.off != dial.reference
    if gain is not None and 0.0 <= gain < metric.margin and is_off:
        return dial.recommended, f"not decided; off did no worse than {reference}"
    if gain is not None and gain >= metric.margin and dial.recommended != dial.reference:
        likely = change(dial.judged_by, metric.sign * gain)
        return dial.recommended, f"not decided; tried, and likely {likely} of {metric.words}"
    return dial.reference, "not decided; the reference's value"


def shrunken(dial: Dial) -> float | None:
    """Estimate the gain from the value that was tried, shrunk towards zero; above 0 is better.

    It is the mean of the normal posterior under a normal prior around 0 with a standard deviation
    of `USUAL_EFFECT` margins: the noisier the effect, the more it shrinks. None if the noise is
    unknown.
    """
    effect = dial.effect.get(dial.judged_by)
    if effect is None:
        return None
    metric = metric_of(dial.judged_by)
    noise = (effect.ci95[1] - effect.ci95[0]) / (2.0 * _NORMAL)
    usual = USUAL_EFFECT * metric.margin
    if not 0.0 <= noise < float("inf"):
        return None
    return metric.sign * effect.mean * usual**2 / (usual**2 + noise**2)
