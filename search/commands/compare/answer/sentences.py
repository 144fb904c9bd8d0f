"""The answer of a comparison in sentences and as the rows of a table."""

import math

from search.commands.compare.answer.number_text import cut, digits_of, effect_words, estimate_words
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.records.metrics import Metric
from search.verdict.effects import Effect
from search.verdict.schema import Estimate
from search.verdict.wording import count, listed, runs_range

WORDS = {
    "helps": "take the best's",
    "hurts": "keep yours",
    "same": "no difference",
    "open": "not decided",
}
"""Words for each outcome of a factor."""


def sentence(verdict: Verdict) -> str:
    """Say what to do with each factor, in one sentence."""
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
    return f"{said[0].upper()}{said[1:]}."


def confirmed_sentence(verdict: Verdict) -> str:
    """Say what the advised configuration gets on fresh seeds, against reference and best."""
    found, metric = verdict.confirmation, verdict.metric
    if found is None or "advised" not in found.means:
        return "Nothing is confirmed on fresh seeds."
    value = metric.unit.number(found.means["advised"])
    same = f", which is the {found.same_as}," if found.same_as else ""
    said = [
        f"{_gain(gain, metric)} over the {other} ({metric.unit.number(found.means[other])})"
        for other, gain in found.advised_minus.items()
    ]
    seeds = count(found.seeds["advised"], "fresh seed")
    return (
        f"On {seeds} the advised configuration{same} gets {metric.words} {value}"
        + (f": {'; '.join(said)}." if said else ".")
        + (f" So the {found.better} as a whole is written out." if found.better else "")
    )


def rows(verdict: Verdict) -> list[dict[str, str]]:
    """One row per factor, for the terminal, the report and the tracking store."""
    metric = verdict.metric
    others = verdict.request.measures[1:]
    return [
        {
            "factor": factor.name,
            "what to do": WORDS[found.outcome],
            "yours": cut(factor.words(REFERENCE)),
            "best": cut(factor.words(BEST)),
            metric.words: effect_words(found.effects[verdict.request.metrics[0]], metric),
            **{
                m.name: effect_words(
                    found.effects[m.text], digits_of(metric, m, found.effects[m.text])
                )
                for m in others
            },
        }
        for factor, found in verdict.factors
    ]


def remarks(verdict: Verdict) -> list[str]:
    """List what limits the answer: selection, failures, open factors, mixed effects."""
    metric = verdict.metric
    said = []
    for factor, found in verdict.factors:
        name = f"`{found.name}`"
        if found.by_runs_that_fail and found.failed is not None:
            (a, b), (n, m) = found.failed.diverged, found.failed.runs
            said.append(
                f"{name}: {a} of {n} runs ended without a result at {cut(factor.words(REFERENCE))}"
                f", {b} of {m} at {cut(factor.words(BEST))}."
            )
        elif found.selected is not None:
            said.append(
                f"{name}: {estimate_words(found.selected, metric)} once it is allowed for that it "
                "was picked because it looked large."
            )
        if found.outcome == "open":
            most = _most(found.effects[verdict.request.metrics[0]])
            parts = [] if most is None else [f"matters less than {metric.unit.number(most)}"]
            if found.more_runs is not None:
                parts.append(f"{runs_range(found.more_runs)} would decide it")
            if found.takes_best:
                parts.append("the advised configuration has the best's value: likely better")
            else:
                parts.append("the advised configuration keeps yours")
            said.append(f"{name}: {'; '.join(parts)}.")
    words = {factor.name: factor for factor, _ in verdict.factors}
    for joint in verdict.finding.joints:
        unit, other = metric.unit, words[joint.other]
        said.append(
            f"`{joint.subject}` depends on `{joint.other}`: from yours to the best's it changes "
            f"{metric.words} by {unit.signed(joint.at_reference)} where `{joint.other}` is "
            f"{cut(other.words(REFERENCE))}, and by {unit.signed(joint.at_best)} where it is "
            f"{cut(other.words(BEST))}."
        )
    said += verdict.limits
    said.append(
        f"Effects are what changes from your value to the best's, averaged over the values of the "
        f"others, with 95 % intervals. Decisions err with probability 5 % over all factors and "
        f"{count(verdict.finding.looks, 'look')}; a change below "
        f"{metric.unit.number(metric.margin)} counts as none."
    )
    if verdict.num_failed:
        said.append(f"{count(verdict.num_failed, 'run')} ended without a result, tried twice each.")
    if not verdict.request.has_seed:
        said.append(
            "The command has neither {seed} nor {fold}: noise is only what the script itself "
            "leaves to chance."
        )
    return said


def _gain(gain: Estimate, metric: Metric) -> str:
    low, high = gain.ci95
    words = estimate_words(gain, metric)
    return words if low > 0.0 or high < 0.0 else f"no clear difference, {words},"


def _most(effect: Effect) -> float | None:
    ends = [abs(end) for end in effect.ci95]
    return max(ends) if all(map(math.isfinite, ends)) else None
