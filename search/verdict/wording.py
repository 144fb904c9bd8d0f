"""Wording of numbers and judgements for people: sentences and table cells of the verdict."""

import math
from collections.abc import Sequence

from search.records.metrics import METRICS, NLL, POINTS, TOP1, Metric, Unit, metric_of
from search.verdict.answer.problem import first_sentence
from search.verdict.schema import Confirmed, Dial, Estimate, Fit
from search.verdict.sequential import FAMILY_ALPHA
from spaces.strengths.registry import WITHIN_RUN, known, strength

_ON = {
    "val": "validation {}",
    "test": "test {}",
    "clean_train": "{} on training images without augmentation",
}
_SHORT_ON = {**_ON, "clean_train": "{}, training images, no augmentation"}


def metric_words(metric: str) -> str:
    """Name a reported metric in words: ``val/top1`` is ``validation top-1``.

    Another name is returned as it is, such as ``diverged``, which may also decide a dial.
    """
    where, _, name = metric.rpartition("/")
    return _ON[where].format(METRICS[name].words) if where in _ON and name in METRICS else metric


def metric_label(metric: str) -> str:
    """Name a reported metric, such as ``clean_train/top1``, for the cell of a table."""
    where, _, name = metric.rpartition("/")
    return _SHORT_ON[where].format(METRICS[name].words)


def compared_by(metric: Metric = TOP1) -> tuple[str, ...]:
    """List the reported names of the metrics of a table of recipes, where ``metric`` decides."""
    shares = dict.fromkeys((metric, TOP1))
    parts = [shown.on(where) for shown in shares for where in ("clean_train", "val", "test")]
    return (*parts, NLL.on("test"))


def percent(value: float) -> str:
    """Format an accuracy in [0, 1] as ``96.1 %``."""
    return POINTS.value(value)


def change(metric: str, value: float) -> str:
    """Format a difference with sign and unit: ``+1.2 points`` or ``-0.031 nats``."""
    return metric_of(metric).unit.change(value)


def change_with_interval(metric: str, estimate: Estimate) -> str:
    """Format a difference with sign and unit, followed by its 95 % interval."""
    unit = metric_of(metric).unit
    low, high = estimate.ci95
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{unit.change(estimate.mean)} (interval unknown)"
    return f"{unit.change(estimate.mean)} {unit.interval(low, high, base=estimate.base)}"


def with_interval(unit: Unit, estimate: Estimate | None) -> str:
    """Format a difference and its 95 % interval without the unit, as ``+1.2 [+0.3, +2.1]``.

    Empty if the difference is unknown; an unknown interval is ``(unknown)``.
    """
    if estimate is None or not math.isfinite(estimate.mean):
        return ""
    low, high = estimate.ci95
    is_known = math.isfinite(low) and math.isfinite(high)
    interval = unit.interval(low, high, base=estimate.base) if is_known else "(unknown)"
    return f"{unit.signed(estimate.mean)} {interval}"


def raw(value: float) -> str:
    """Format a strength's value as one would type it.

    A value of at most six significant digits is shown whole, a longer (searched) one with three; a
    decay near 1 with three digits of its distance to 1, as 0.99996 is not 1.
    """
    typed = f"{value:.6g}"
    if float(typed) == value:
        return typed
    return f"{1.0 - float(f'{1.0 - value:.3g}'):.9g}" if 0.9 < value < 1.0 else f"{value:.3g}"


def value_text(name: str, value: float) -> str:
    """Format the value of a dial: in words where it has some, else as `raw` does."""
    factor = WITHIN_RUN.get(name)
    words = factor.value_words.get(value) if factor else None
    return words or raw(value)


def short_name(name: str) -> str:
    """Return the short name of a strength or extra axis; any other name as it is."""
    factor = known().get(name)
    return factor.short if factor else name


def short_raw(name: str, value: float) -> str:
    """Format a strength's value in two significant digits; a decay near 1 as `raw` does."""
    return raw(value) if strength(name).is_near_one else f"{value:.2g}"


def target(dial: Dial) -> str:
    """Format the value that a dial is to be turned to, as the cell of a table.

    For an undecided dial it is the value that was tried, in brackets: it is no advice to use it.
    """
    value = value_text(dial.strength, dial.recommended)
    if dial.turn != "inconclusive":
        return value
    return f"({value})" if dial.recommended != dial.reference else "—"


def listed(items: Sequence[str]) -> str:
    """Join items in words: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def count(number: int, what: str) -> str:
    """Format a number with its noun: ``1 run``, ``2 runs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


MOST_RUNS = 1000
"""Further runs above which their number is not told."""


def runs_range(runs: tuple[int, int]) -> str:
    """Format a range of further runs, rounded to one digit from 100 on: ``24 to 900 more runs``.

    An upper end above `MOST_RUNS` says no more than that nobody will run so many.
    """
    low, high = (f"{_rounded(number):,}" for number in runs)
    if _rounded(runs[0]) > MOST_RUNS:
        return f"more than {MOST_RUNS:,} more runs"
    if _rounded(runs[1]) > MOST_RUNS:
        return f"{low} to far more than {MOST_RUNS:,} more runs"
    return f"about {low} more runs" if low == high else f"{low} to {high} more runs"


def _rounded(number: int) -> int:
    return number if number < 100 else int(float(f"{number:.0e}"))


def pool_sentence(dials: Sequence[Dial]) -> str:
    """Return the sentence on the scope of the effects' intervals; empty if none is known."""
    ends = (end for dial in dials for of in dial.effect.values() for end in of.ci95)
    return POOL_WORDS if any(map(math.isfinite, ends)) else ""


POOL_WORDS = (
    "Effects and their intervals are for this pool of images, which every block divides afresh "
    "into training and validation images; another pool may differ by more."
)
"""Said beside intervals of dials: splits of one pool do not show how pools differ."""

TURN_SIGNS = {"down": "↓ down", "up": "↑ up", "leave": "= leave", "inconclusive": "? open"}
"""Text of each turn in the cell of a table."""
ROLE_WORDS = {
    "advised": "the advised recipe",
    "best": "the best recipe",
    "scaled": "the size-scaled default",
    "off": "everything off",
    "reference": "the reference as it ships",
    "reference_raw": "the reference without its average",
    "probe": "a linear probe",
    "knn": "nearest neighbours",
}
"""Names of the confirmed recipes, and of classifiers on frozen features, in sentences, by role."""


def verdict_sentence(
    *,
    dials: Sequence[Dial],
    fit: Fit,
    confirmed: Confirmed | None,
    exported: str,
    because: str = "",
    metric: Metric = TOP1,
) -> str:
    """Write the verdict in a few sentences: fit state, turns, confirmed gains, exported recipe."""
    return " ".join(
        [
            first_sentence(fit, dials, confirmed, metric),
            _turns_sentence(dials),
            confirmed_sentence(confirmed, metric),
            exported_sentence(exported, because),
        ]
    )


def experiment_sentence(*, looks: int, num_runs: int, top_ups: int, is_pick: bool = True) -> str:
    """Say how often the experiment was looked at, and with which error; empty without any look.

    Args:
        looks: Looks taken.
        num_runs: Runs of the experiment.
        top_ups: How often more blocks of the experiment were asked for.
        is_pick: Whether it is about the recipe that is called the best now.
    """
    if not looks:
        return ""
    again = f", with {count(top_ups, 'top-up')}" if top_ups else ""
    said = (
        f"The {num_runs} runs of the experiment were looked at {times(looks)}{again}; "
        f"{'all looks together' if looks > 1 else 'this'} may make a false turn in at most "
        f"{100 * FAMILY_ALPHA:g} % of experiments."
    )
    if is_pick:
        return said
    return (
        f"{said} It is about the recipe that was best when it began; the search has picked another "
        "one since, which is confirmed as the best."
    )


def times(number: int) -> str:
    """Write a number of times: ``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def confirmed_sentence(confirmed: Confirmed | None, metric: Metric = TOP1) -> str:
    """Write what the advised recipe gains on test images over the recipes that need no search.

    The hardest comparison comes first: that with the recipe without a search that does best on
    validation images.

    Args:
        confirmed: The confirmation, or None if there was none.
        metric: The metric that decides.
    """
    name = metric.on("test")
    if confirmed is None or name not in confirmed.advised:
        return "Nothing is confirmed on test images yet."
    gains = {role: found[name] for role, found in confirmed.advised_minus.items() if name in found}
    # Equal recipes share their runs, as when no dial is turned and the reference is advised.
    same = [role for role, gain in gains.items() if gain.is_nothing]
    # If the reference has no average, its raw weights are the same weights.
    if gains.get("reference_raw") == gains.get("reference") and confirmed.free != "reference_raw":
        gains.pop("reference_raw", None)
    said = [
        gain_words(gains[role], metric)
        + f" over {ROLE_WORDS[role]}"
        + (", the best of what needs no search" if role == confirmed.free else "")
        for role in sorted(gains, key=lambda role: role != confirmed.free)
        if role not in same
    ]
    basis = (
        f"On {confirmed.num_images} {confirmed.split} images with "
        f"{count(confirmed.seeds, 'fresh seed')} the advised recipe"
        + (f", which is {ROLE_WORDS[same[0]]}," if same else "")
        + f" gets {metric.unit.value(confirmed.advised[name])}"
    )
    return f"{basis}: {'; '.join(said)}." if said else f"{basis}."


def gain_words(gain: Estimate, metric: Metric) -> str:
    """Format a difference with its interval, and note if the interval holds zero."""
    low, high = gain.ci95
    shown = change_with_interval(metric.name, gain)
    return shown if low > 0.0 or high < 0.0 else f"{shown} (no clear difference)"


def exported_sentence(exported: str, because: str) -> str:
    """Write which recipe is exported, and why if it is not the advised one."""
    name = ROLE_WORDS[exported]
    name = name[0].upper() + name[1:]
    return f"{name} is exported; {because}." if because else f"{name} is exported."


def _turns_sentence(dials: Sequence[Dial]) -> str:
    turned = {
        turn: [
            f"{d.strength} from {value_text(d.strength, d.reference)} to "
            f"{value_text(d.strength, d.recommended)}"
            for d in dials
            if d.turn == turn
        ]
        for turn in ("down", "up")
    }
    parts = [f"turn {turn} {listed(names)}" for turn, names in turned.items() if names]
    if not parts:
        parts = ["nothing is to be turned"]
    left = [d.strength for d in dials if d.turn == "leave"]
    if left:
        parts.append(f"leave {listed(left)}")
    undecided = [d.strength for d in dials if d.turn == "inconclusive"]
    if undecided:
        parts.append(f"not decided: {listed(undecided)}")
    sentence = "; ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]
