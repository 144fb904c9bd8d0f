"""Decision on each strength: turn it down, turn it up, leave it, or report it as undecided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.records.metrics import TOP1, Metric
from search.verdict.effects import Effect
from search.verdict.judgement import Judgement, Look, judge_all
from search.verdict.schema import Dial
from search.verdict.wording import change_with_interval, metric_words, value_text
from spaces.task import Task
from spaces.units import to_effective, unit_of

UNFINISHED = (
    "this run has not converged, for everything off does better with twice the epochs: "
    "train longer or raise the learning rate before touching this setting"
)
"""End of the remark of a dial that must not be turned before the training is longer."""


def decide(
    looks: Sequence[Look],
    *,
    reference: Mapping[str, float],
    best: Mapping[str, float],
    task: Task,
    runs_per_round: int,
    undertrained: bool = False,
    first: Metric = TOP1,
) -> tuple[Dial, ...]:
    """Decide every dial from the effects estimated at each look at the experiment.

    Each look asks these questions of each strength, each with its share of the error probability
    (`search.verdict.sequential`), in this order of precedence:

    1. If significantly more runs diverge at one level, that decides for the other level.
    2. The metric that decides first, validation top-1 unless another one is asked for; if its 95 %
       interval lies within its margin (`Metric.margin`), the change makes no difference by it.
    3. The metrics of its ``then``, in their order, where the change is at least their margin. For
       top-1 these are the refined log-loss, which tells better from worse predictions, and then the
       plain one. If a metric decides that has a refined form, the remark says that it is a
       calibration matter where the 95 % interval of the refined one lies within its margin, mostly
       one where it lies within half of the plain change, and else that this is open. They are not
       asked where the first metric seems to say the opposite
       (`search.verdict.judgement.OPPOSED_ALPHA`).
    4. Else ``leave`` if the first metric's interval lies within its margin, else ``inconclusive``.

    A change that helps is a turn, ``down`` or ``up`` by effective values (for ``ema_decay`` down is
    a shorter window, for ``warmup_fraction`` a shorter warmup), and recommends the best's value; a
    turn that one look made stays. A change that hurts or does nothing is a ``leave`` and recommends
    the reference's value; the remark names the value that was tried. An inconclusive dial carries
    the best's value, for which its effect was measured. A strength that was not varied is a
    ``leave`` with an empty effect.

    Args:
        looks: All looks, oldest first, at least one.
        reference: Raw values of the reference: the strengths, then extra axes.
        best: Raw values of the best; the same names.
        task: Task that the effective units depend on.
        runs_per_round: Runs that one more round of blocks would add.
        undertrained: Whether longer training is known to help even everything off. Then no dial is
            turned: a change that helps an unfinished run need not help a finished one.
        first: The metric that decides first.
    """
    judged = judge_all(looks, runs_per_round=runs_per_round, first=first)
    effects = looks[-1].effects
    dials = []
    for name in reference:
        values = reference[name], best[name]
        if name not in effects:
            dials.append(_unchanged(name, values, task))
            continue
        dial = _dial(name, values, effects[name], judged[name], task, first)
        dials.append(_held(dial) if undertrained and dial.turn != "leave" else dial)
    return tuple(dials)


def _dial(
    name: str,
    values: tuple[float, float],
    effects: Mapping[str, Effect],
    judged: Judgement,
    task: Task,
    first: Metric,
) -> Dial:
    reference, best = (to_effective(name, value, task) for value in values)
    stays = judged.outcome in ("hurts", "same")
    turns = {"open": "inconclusive", "helps": "down" if best < reference else "up"}
    remark = judged.remark
    if stays or judged.outcome == "open":
        remark = f"{value_text(name, values[1])} was tried instead: {remark}"
    return Dial(
        strength=name,
        turn="leave" if stays else turns[judged.outcome],
        reference=values[0],
        recommended=values[0] if stays else values[1],
        effective_unit=unit_of(name),
        reference_effective=reference,
        recommended_effective=reference if stays else best,
        effect={
            metric: effect.estimate for metric, effect in effects.items() if effect.is_estimable
        },
        decided_by=judged.decided_by,
        num_runs=max((effect.num_runs for effect in effects.values()), default=0),
        runs_to_decide=judged.more_runs,
        remark=remark,
        judged_by=first.on("val"),
        selected=judged.selected,
        matters_less_than=_most(effects.get(first.on("val"))) if judged.outcome == "open" else None,
        more_runs=judged.more_runs_range,
    )


def _most(effect: Effect | None) -> float | None:
    """Return the largest absolute effect inside the 95 % interval; None if it is unknown."""
    if effect is None or not math.isfinite(effect.ci95[0]):
        return None
    if effect.ci95[0] == effect.ci95[1]:  # Without noise between runs there is no interval.
        return None
    return max(abs(end) for end in effect.ci95)


def _unchanged(name: str, values: tuple[float, float], task: Task) -> Dial:
    reference, best = values
    effective = to_effective(name, reference, task)
    same = "the best recipe has the same value"
    near = (
        f"the best recipe has {value_text(name, best)}, which makes no noticeable difference here"
    )
    return Dial(
        strength=name,
        turn="leave",
        reference=reference,
        recommended=reference,
        effective_unit=unit_of(name),
        reference_effective=effective,
        recommended_effective=effective,
        effect={},
        decided_by=None,
        num_runs=0,
        runs_to_decide=None,
        remark=same if best == reference else near,
    )


def _held(dial: Dial) -> Dial:
    """Make a dial inconclusive because training is too short; its measured effect is kept."""
    remark = UNFINISHED
    if dial.turn in ("down", "up"):
        metric = dial.decided_by or ""
        effect = dial.effect.get(metric)
        shown = (
            f" ({metric_words(metric)} {change_with_interval(metric, effect)})" if effect else ""
        )
        remark = (
            f"{value_text(dial.strength, dial.recommended)} does better in these runs{shown}, "
            f"but {UNFINISHED}"
        )
    return replace(
        dial,
        turn="inconclusive",
        recommended=dial.reference,
        recommended_effective=dial.reference_effective,
        decided_by=None,
        runs_to_decide=None,
        remark=remark,
        selected=None,
        more_runs=None,
    )
