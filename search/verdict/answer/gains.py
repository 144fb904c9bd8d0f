"""Sentences on the gains of the advised recipe on test images, over two other recipes."""

from dataclasses import dataclass

from search.records.metrics import TOP1, Metric
from search.verdict.confirmation import FROZEN_ROLES
from search.verdict.schema import Confirmed, Estimate
from search.verdict.wording import change_with_interval

ROLE_HEADS = {
    "reference": "reference",
    "reference_raw": "without average",
    "advised": "advised",
    "off": "everything off",
    "scaled": "size-scaled default",
    "probe": "linear probe",
    "knn": "nearest neighbours",
}
"""Heads of what is compared on the test images: recipes, and classifiers on frozen features."""
SHORT_HEADS = {
    **ROLE_HEADS,
    "reference_raw": "no average",
    "off": "all off",
    "scaled": "size-scaled",
    "probe": "probe",
    "knn": "k-NN",
}
"""The same for columns that must fit into one line together."""
_OVER = {
    "reference": "the reference",
    "reference_raw": "the reference's raw weights",
    "off": "everything off",
    "scaled": "the size-scaled default",
}
_SHORT = {**_OVER, "reference_raw": "its raw weights", "scaled": "size-scaled default"}
"""Short names of the recipes, for a single line below a sentence on the reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """The gain of the advised recipe over one other recipe, as text.

    Attributes:
        over: Name of the other recipe.
        briefly: Short name of the other recipe.
        remark: Further remark on the comparison, or empty.
        shown: The difference with its interval; ``none`` if both are the same recipe.
        is_clear: Whether the interval leaves out zero.
    """

    over: str
    briefly: str
    remark: str
    shown: str
    is_clear: bool

    @property
    def text(self) -> str:
        """The comparison on one line."""
        return f"{self.shown} over {self.over}{self.remark}{self._unclear}"

    @property
    def short(self) -> str:
        """The comparison in fewer words, without the remark."""
        return f"{self.shown} over {self.briefly}{self._unclear}"

    @property
    def _unclear(self) -> str:
        return "" if self.is_clear else ": no clear difference"


def on_test_images(confirmed: Confirmed | None, metric: Metric) -> dict[str, str]:
    """Format each mean on test images, by role of `ROLE_HEADS`; "-" if a recipe was not run.

    A model that is trained from scratch has no frozen features, and none of their classifiers.
    """
    if confirmed is None:
        return {}
    found = {role: getattr(confirmed, role).get(metric.on("test")) for role in ROLE_HEADS}
    if all(value is None for value in found.values()):
        return {}
    return {
        role: "-" if value is None else metric.unit.value(value)
        for role, value in found.items()
        if value is not None or role not in FROZEN_ROLES
    }


def gains(confirmed: Confirmed | None, metric: Metric) -> tuple[Gain, ...]:
    """Make the gains over the reference's raw weights and over the best recipe without a search.

    A broken average of the reference makes any recipe look good, so its raw weights are compared.
    Without an average these are the reference itself. The advised recipe may equal one of the
    others, and then gains nothing over it.
    """
    if confirmed is None:
        return ()
    found = {
        role: of[metric.on("test")]
        for role, of in confirmed.advised_minus.items()
        if metric.on("test") in of
    }
    is_averaged = found.get("reference_raw") != found.get("reference")
    raw_role = "reference_raw" if "reference_raw" in found and is_averaged else "reference"
    free = "reference" if confirmed.free == "reference_raw" and not is_averaged else confirmed.free
    said = []
    for role in dict.fromkeys((raw_role, free)):
        if role in found:
            remark = ", the best without a search" if role == free else ""
            said.append(_gain(found[role], role, remark, metric))
    return tuple(said)


def _gain(gain: Estimate, role: str, remark: str, metric: Metric) -> Gain:
    low, high = gain.ci95
    shown, is_clear = change_with_interval(metric.name, gain), low > 0.0 or high < 0.0
    if metric is not TOP1:
        shown += f" of test {metric.words}"
    if gain.is_nothing:
        shown, is_clear = "nothing", True
        remark = f", which is the same recipe{remark.replace(', ', ' and ')}"
    return Gain(
        over=_OVER[role], briefly=_SHORT[role], remark=remark, shown=shown, is_clear=is_clear
    )
