"""What to do with each strength: turn it down, turn it up, leave it, or say that it is open."""

from collections.abc import Mapping
from dataclasses import replace

from search.records.metrics import TOP1, Metric
from search.verdict.divergence import Divergence
from search.verdict.effects import Effect
from search.verdict.judgement import Judgement, Question, judge
from search.verdict.schema import Dial, Estimate
from search.verdict.wording import change_with_interval, metric_words, raw
from spaces.task import Task
from spaces.units import EFFECTIVE_UNITS, to_effective

UNFINISHED = (
    "even with everything off this run has not converged: "
    "train longer or raise the learning rate before touching this dial"
)
"""How the remark of a dial ends that must not be turned yet."""


def decide(
    effects: Mapping[str, Mapping[str, Effect]],
    *,
    reference: Mapping[str, float],
    best: Mapping[str, float],
    task: Task,
    look: int,
    max_looks: int,
    runs_per_block: int,
    divergences: Mapping[str, Divergence] | None = None,
    undertrained: bool = False,
    first: Metric = TOP1,
) -> tuple[Dial, ...]:
    """Decide every dial from the effects of the strengths that the experiment varied.

    In this order, each question with its share of the error control of `search.verdict.sequential`:

    1. Diverging runs that are tied to one level decide for the other.
    2. The metric that decides first, validation top-1 unless another one is asked for: if its 95 %
       interval lies within its margin (`Metric.margin`), it does not care; else if its decision
       interval leaves out zero, the sign decides.
    3. If that does not decide, the metrics of its ``then`` do, in their order, when the decision
       interval leaves out zero and the change is the margin or more. For top-1 these are the
       refined log-loss, which tells better from worse predictions, and then the plain one. If a
       metric decides that has a refined form, the remark says that it is a calibration matter where
       the 95 % interval of the refined one lies within its margin, mostly one where it lies within
       half of the plain change, and else that this is open. The dial stays open where the metric
       that decides first seems to say the opposite (`search.verdict.judgement.OPPOSED_ALPHA`).
    4. Else ``leave`` if that metric does not care, and ``inconclusive`` if that is open too.

    A change that helps is a turn, ``down`` or ``up`` by effective values (for ``ema_decay`` down is
    a shorter window, for ``warmup_fraction`` a shorter warmup), and recommends the best's value. A
    change that hurts or does nothing is a ``leave`` and recommends the reference's value; the
    remark names the value that was tried. An inconclusive dial carries the best's value, the one
    its effect is about. A strength that was not varied is a ``leave`` with an empty effect.

    Args:
        effects: By strength and metric; strengths that are missing were not varied.
        reference: Raw values of the reference: the strengths, then extra axes.
        best: Raw values of the best; the same names.
        task: Gives effective units their scale.
        look: Number of this look, from 1 after the second block.
        max_looks: Looks planned: the largest number of blocks, less one.
        runs_per_block: Runs that one more block would add.
        divergences: By strength, from `search.verdict.divergence`.
        undertrained: Whether even everything-off has not converged. Then no dial is turned: what
            helps an unfinished run need not help a finished one.
        first: The metric that decides first.
    """
    question = Question(
        look=look,
        max_looks=max_looks,
        num_dials=max(1, len(effects)),
        runs_per_block=runs_per_block,
        first=first,
    )
    dials = []
    for name in reference:
        values = reference[name], best[name]
        if name not in effects:
            dials.append(_unchanged(name, values, task))
            continue
        judged = judge(effects[name], (divergences or {}).get(name), question)
        dial = _dial(name, values, effects[name], judged, task)
        dials.append(_held(dial) if undertrained and dial.turn != "leave" else dial)
    return tuple(dials)


def _dial(
    name: str,
    values: tuple[float, float],
    effects: Mapping[str, Effect],
    judged: Judgement,
    task: Task,
) -> Dial:
    reference, best = (to_effective(name, value, task) for value in values)
    stays = judged.outcome in ("hurts", "same")
    turns = {"open": "inconclusive", "helps": "down" if best < reference else "up"}
    remark = judged.remark
    if stays or judged.outcome == "open":
        remark = f"{raw(values[1])} was tried instead: {remark}"
    return Dial(
        strength=name,
        turn="leave" if stays else turns[judged.outcome],
        reference=values[0],
        recommended=values[0] if stays else values[1],
        effective_unit=EFFECTIVE_UNITS[name],
        reference_effective=reference,
        recommended_effective=reference if stays else best,
        effect={
            metric: Estimate(mean=effect.mean, ci95=effect.ci95)
            for metric, effect in effects.items()
            if effect.is_estimable
        },
        decided_by=judged.decided_by,
        num_runs=max((effect.num_runs for effect in effects.values()), default=0),
        runs_to_decide=judged.more_runs,
        remark=remark,
    )


def _unchanged(name: str, values: tuple[float, float], task: Task) -> Dial:
    reference, best = values
    effective = to_effective(name, reference, task)
    same = "the best recipe has the same value"
    near = f"the best recipe has {raw(best)}, which makes no noticeable difference here"
    return Dial(
        strength=name,
        turn="leave",
        reference=reference,
        recommended=reference,
        effective_unit=EFFECTIVE_UNITS[name],
        reference_effective=effective,
        recommended_effective=effective,
        effect={},
        decided_by=None,
        num_runs=0,
        runs_to_decide=None,
        remark=same if best == reference else near,
    )


def _held(dial: Dial) -> Dial:
    """A dial that must not be turned yet: the effect stays, the recommendation does not."""
    remark = UNFINISHED
    if dial.turn in ("down", "up"):
        metric = dial.decided_by or ""
        effect = dial.effect.get(metric)
        shown = (
            f" ({metric_words(metric)} {change_with_interval(metric, effect)})" if effect else ""
        )
        remark = f"{raw(dial.recommended)} does better in these runs{shown}, but {UNFINISHED}"
    return replace(
        dial,
        turn="inconclusive",
        recommended=dial.reference,
        recommended_effective=dial.reference_effective,
        decided_by=None,
        runs_to_decide=None,
        remark=remark,
    )
