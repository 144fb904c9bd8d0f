"""The answer of a comparison in sentences and as the rows of a table."""

import math

from search.commands.compare.answer.number_text import (
    cut,
    digits_of,
    effect_words,
    estimate_words,
)
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.records.command_line import near, next_command
from search.records.metrics import Metric
from search.verdict.effects import NO_EFFECT, Effect
from search.verdict.looking import MOST_TIMES
from search.verdict.schema import Estimate
from search.verdict.wording import count, listed, runs_range

WORDS = {
    "helps": "take the best's",
    "hurts": "keep yours",
    "same": "no difference",
    "open": "not decided",
}
"""Words for each outcome of a factor."""
BESIDE = "in what is advised"
"""Head of the column of effects where all others have the values that are written out."""
_OWNED = {"reference": "reference's", "best": "best's"}


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
        f"{_than(gain, metric)} the {_OWNED[other]} {metric.unit.number(found.means[other])} "
        f"({estimate_words(gain, metric)})"
        for other, gain in found.advised_minus.items()
    ]
    seeds = count(found.seeds["advised"], "fresh seed")
    return (
        f"On {seeds} the advised configuration{same} gets {metric.words} {value}"
        + (f", {'; '.join(said)}." if said else ".")
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
            **(
                {BESIDE: effect_words(verdict.beside.get(factor.name, NO_EFFECT), metric)}
                if verdict.beside
                else {}
            ),
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
            effect = effect_words(found.effects[verdict.request.metrics[0]], metric)
            said.append(
                f"{name}: its {effect.partition(' ')[0]} is also why it was picked, which flatters "
                f"it; without that luck it is {estimate_words(found.selected, metric)}."
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
    said += dependences(verdict)
    said += verdict.limits
    said.append(
        f"Effects are what changes from your value to the best's, averaged over the values of the "
        f"others, with 95 % intervals. Decisions err with probability 5 % over all factors and "
        f"{count(verdict.finding.looks, 'look')}; a change below "
        f"{metric.unit.number(metric.margin)} counts as none."
    )
    if verdict.beside:
        said.append(
            f'Under "{BESIDE}" is the same change where all others have the values that are '
            "advised: what it is worth there, known less well than the average."
        )
    if verdict.num_failed:
        said.append(f"{count(verdict.num_failed, 'run')} ended without a result.")
    if not verdict.request.has_seed:
        said.append(
            "The command has neither {seed} nor {fold}: noise is only what the script itself "
            "leaves to chance."
        )
    return said


def dependences(verdict: Verdict) -> list[str]:
    """Say which changes depend on another one, and where that speaks against the advice.

    Each at the value of the other that is written out first.
    """
    factors = {factor.name: factor for factor, _ in verdict.factors}
    averaged = ", averaged over the rest" if len(factors) > 2 else ""
    said = []
    for joint in verdict.finding.joints:
        unit, other = verdict.metric.unit, factors[joint.other]
        at = {REFERENCE: joint.at_reference, BEST: joint.at_best}
        written = verdict.levels[joint.other]
        changes = [
            f"{unit.signed(at[level])} where `{joint.other}` is {cut(other.words(level))}"
            for level in (written, -written)
        ]
        said.append(
            f"`{joint.subject}` depends on `{joint.other}`: taking the best's changes "
            f"{verdict.metric.words} by {changes[0]}, and by {changes[1]}{averaged}."
        )
    for name, effect in verdict.beside.items():
        low, high = effect.times(verdict.metric.sign).ci95
        takes = verdict.levels[name] == BEST
        if (high < 0.0) if takes else (low > 0.0):
            instead = "yours" if takes else "the best's"
            said.append(
                f"`{name}`: on average the other value is better, but beside what is written out "
                f"{instead} is, by {effect_words(effect, verdict.metric)}: try that."
            )
    return said


def ending(verdict: Verdict) -> str:
    """Say why the experiment ended where it did, and how to go on with it."""
    finding, request = verdict.finding, verdict.request
    is_open = [found for _, found in verdict.factors if found.outcome == "open"]
    ran, most = finding.rounds, request.rounds
    of = f"after {ran} of at most {count(most, 'round')}"
    if not is_open:
        return f"The experiment ended {of}: every difference is decided."
    if ran < most:
        why = f"{of}: the runs that were left would hardly have found that what is open helps."
    else:
        why = f"after all of its {count(most, 'round')}."
    size = request.layout.runs_per_round
    needed = [found.more_runs[0] for found in is_open if found.more_runs is not None]
    if not needed:
        return f"The experiment ended {why} How many more would decide it, these runs do not tell."
    if min(needed) > MOST_TIMES * ran * size:
        return f"The experiment ended {why} To decide it takes more runs than it is worth."
    rounds = max(ran + math.ceil(min(needed) / size), most + 1)
    command = next_command("resume", RUN=near(request.path), MAX_BLOCKS=str(rounds))
    return (
        f"The experiment ended {why} One of them may be decided, for or against, by "
        f"{(rounds - ran) * size} more: {command}"
    )


def _than(gain: Estimate, metric: Metric) -> str:
    """Compare in words: ``0.59 less than``, or ``not clearly different from``."""
    low, high = gain.ci95
    if not (low > 0.0 or high < 0.0):
        return "not clearly different from"
    words = "more" if gain.mean > 0.0 else "less"
    return f"{metric.unit.number(abs(gain.mean))} {words} than"


def _most(effect: Effect) -> float | None:
    ends = [abs(end) for end in effect.ci95]
    return max(ends) if all(map(math.isfinite, ends)) else None
