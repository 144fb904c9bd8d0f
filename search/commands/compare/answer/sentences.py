"""The answer of a comparison in sentences and as the rows of a table."""

from search.commands.compare.answer.number_text import (
    cut,
    digits_of,
    effect_words,
    estimate_words,
)
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.records.metrics import Metric
from search.verdict.effects import NO_EFFECT
from search.verdict.schema import Estimate
from search.verdict.wording import count, listed

WORDS = {
    "helps": "take the best's",
    "hurts": "keep yours",
    "same": "no difference",
    "open": "not decided",
}
"""Words for each outcome of a factor."""
BESIDE = "in what is written out"
"""Head of the column of effects where all others have the values that are written out."""
ON_AVERAGE = "on average"
"""Head of the column of outcomes where another configuration than they advise is written out."""
FAILS = "runs fail"
_WHOLE = {"reference": "Keep yours as a whole", "best": "Take the best as a whole"}
_ROLES = {"reference": "with yours", "best": "with the best"}


def sentence(verdict: Verdict) -> str:
    """Say what to do with each factor, in one sentence.

    Where reference or best as a whole did better on fresh seeds than what the factors advise one by
    one, that is what is said to do, with the differences on seeds that both have.
    """
    found, metric = verdict.confirmation, verdict.metric
    if found is None or not found.better:
        return f"{_turns(verdict)}."
    parts = []
    if not found.same_as:  # Else it is the other of the two.
        behind = found.advised_minus[found.better].times(-1.0)
        parts.append(f"{_apart(behind, metric)} the changes that help one by one")
    if found.gap is not None:
        ahead = found.gap.times(1.0 if found.better == "best" else -1.0)
        other = "yours" if found.better == "best" else "the best"
        parts.append(f"{_apart(ahead, metric)} {other}")
    together = _together(verdict) if found.better == "best" else []
    return (
        "; ".join(
            [
                f"{_WHOLE[found.better]}, with {metric.words} {listed(parts)} on fresh seeds",
                *together,
            ]
        )
        + "."
    )


def _apart(gap: Estimate, metric: Metric) -> str:
    """A difference in words: ``0.2842 above``."""
    size = metric.unit.number(metric.unit.scale * abs(gap.mean))
    return f"{size} {'above' if gap.mean > 0.0 else 'below'}"


def _together(verdict: Verdict) -> list[str]:
    """Name the changes that gain beside another one and cost without it."""
    sign = verdict.metric.sign
    return [
        f"`{joint.subject}` helps only beside the best's `{joint.other}`"
        for joint in verdict.finding.joints
        if sign * joint.at_best > 0.0 > sign * joint.at_reference
    ]


def _turns(verdict: Verdict) -> str:
    by_outcome: dict[str, list[str]] = {}
    for _, found in verdict.factors:
        by_outcome.setdefault(found.outcome, []).append(f"`{found.name}`")
    parts = []
    if "helps" in by_outcome:
        names = by_outcome["helps"]
        parts.append(f"Take the best's value of {listed(names)}")
    if "hurts" in by_outcome:
        parts.append(f"keep yours of {listed(by_outcome['hurts'])}")
    if "same" in by_outcome:
        names = by_outcome["same"]
        parts.append(f"{listed(names)} {'makes' if len(names) == 1 else 'make'} no difference")
    if "open" in by_outcome:
        names = by_outcome["open"]
        parts.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} not decided")
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}"


def confirmed_sentence(verdict: Verdict) -> str:
    """Say what reference, best and the advised configuration get on fresh seeds, and the gaps."""
    found, metric = verdict.confirmation, verdict.metric
    if found is None:
        return "Nothing is confirmed on fresh seeds."
    if not found.means:
        return "No run on fresh seeds left a result."
    most = max(found.seeds.values())

    def value(role: str, words: str, more: str) -> str:
        if role not in found.means:
            return f"none {words}, which left no result"
        few = found.seeds[role] < most
        seeds = f" on {found.seeds[role]} of them" if few else ""
        return f"{metric.unit.number(found.means[role])} {words}{seeds}{more}"

    said = []
    for role in ("reference", "best"):
        notes = [] if found.same_as != role or found.better else ["as advised"]
        if role == "best" and found.gap is not None:
            notes.append(f"{_gap(found.gap, metric)} against yours")
        said.append(value(role, _ROLES[role], f" ({'; '.join(notes)})" if notes else ""))
    if not found.same_as:
        which = "with the changes that help one by one" if found.better else "as advised"
        gaps = [
            f"{_gap(gain, metric)} against {'yours' if other == 'reference' else 'the best'}"
            for other, gain in found.advised_minus.items()
        ]
        said.append(value("advised", which, f" ({'; '.join(gaps)})" if gaps else ""))
    return f"On {count(most, 'fresh seed')} {metric.words} is {listed(said)}."


def rows(verdict: Verdict) -> list[dict[str, str]]:
    """One row per factor, for the terminal, the report and the tracking store."""
    metric = verdict.metric
    others = verdict.request.measures[1:]
    is_whole = verdict.confirmation is not None and bool(verdict.confirmation.better)
    made = []
    for factor, found in verdict.factors:
        is_best = verdict.levels[factor.name] == BEST
        do = ("take the best's" if is_best else "keep yours") if is_whole else WORDS[found.outcome]
        effect = effect_words(found.effects[verdict.request.metrics[0]], metric)
        row = {
            "factor": factor.name,
            "what to do": do,
            "yours": cut(factor.words(REFERENCE)),
            "best": cut(factor.words(BEST)),
            metric.words: effect or (FAILS if found.by_runs_that_fail else ""),
        }
        if is_whole:
            row[ON_AVERAGE] = WORDS[found.outcome]
        if verdict.beside:
            row[BESIDE] = effect_words(verdict.beside.get(factor.name, NO_EFFECT), metric)
        for m in others:
            of = found.effects[m.text]
            row[m.name if m.name not in row else m.text] = effect_words(
                of, digits_of(metric, m, of)
            )
        made.append(row)
    return made


def _gap(gap: Estimate, metric: Metric) -> str:
    low, high = gap.ci95
    clear = "" if low > 0.0 or high < 0.0 else ": no clear difference"
    return f"{estimate_words(gap, metric)}{clear}"
