"""Limits of the answer of a comparison, the reason why its experiment ended, and the next step."""

import math

from search.commands.compare.answer.number_text import cut, effect_words, estimate_words
from search.commands.compare.answer.sentences import BESIDE
from search.commands.compare.answer.verdict import Verdict
from search.commands.compare.asked.factors import BEST, REFERENCE
from search.records.command_line import as_typed, near, next_command
from search.verdict.effects import Effect
from search.verdict.looking import MOST_TIMES
from search.verdict.wording import count, listed, runs_range


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
            without = estimate_words(found.selected, metric)
            if without != effect:
                said.append(
                    f"{name}: its {effect.partition(' ')[0]} is also why it was picked, which "
                    f"flatters it; without that luck it is {without}."
                )
        if found.outcome == "open":
            most = _most(found.effects[verdict.request.metrics[0]])
            parts = [] if most is None else [f"matters less than {metric.unit.number(most)}"]
            if found.more_runs is not None and not verdict.problems:
                parts.append(f"{runs_range(found.more_runs)} would decide it")
            if verdict.levels[factor.name] == BEST:
                likely = ": likely better" if found.takes_best else ""
                parts.append(f"the best's value is written out{likely}")
            else:
                parts.append("yours is written out")
            said.append(f"{name}: {'; '.join(parts)}.")
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
            "written out: what it is worth there, known less well than the average."
        )
    if verdict.num_failed:
        said.append(f"{count(verdict.num_failed, 'run')} ended without a result.")
    if not verdict.request.has_seed:
        said.append(
            "The command has neither {seed} nor {fold}: noise is only what the script itself "
            "leaves to chance."
        )
    return said


def warnings(verdict: Verdict) -> list[str]:
    """Say what nobody should miss: values at which runs fail, and changes that depend on others."""
    said = [
        f"`{found.name}`: runs fail at {cut(factor.words(level))}, the last because {problem}."
        for factor, found in verdict.factors
        for level, problem in verdict.problems.get(factor.name, {}).items()
    ]
    for what, problem in verdict.never.items():
        said.append(f"No run of {what} left a result, the last because {problem}.")
    return said + dependences(verdict)


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
    for factor, found in verdict.factors:
        if (effect := verdict.beside.get(factor.name)) is None:
            continue
        sign = verdict.metric.sign
        low, high = effect.times(sign).ci95
        takes = verdict.levels[factor.name] == BEST
        if not (high < 0.0 if takes else low > 0.0):
            continue
        average = sign * found.effects[verdict.request.metrics[0]].mean
        but = "as on average" if (average < 0.0) == takes else "though not on average"
        better = "yours" if takes else "the best's"
        said.append(
            f"`{factor.name}`: beside what is written out {better} is "
            f"better, {effect_words(effect, verdict.metric)}, {but}: try that."
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
    if found := _held(verdict):
        return f"The experiment ended {why} To learn of the rest from all runs, {found}."
    size = request.layout.runs_per_round
    needed = {found.name: found.more_runs[0] for found in is_open if found.more_runs is not None}
    if not needed:
        return f"The experiment ended {why} How many more would decide it, these runs do not tell."
    name = min(needed, key=lambda name: needed[name])
    if needed[name] > MOST_TIMES * ran * size:
        return f"The experiment ended {why} To decide more takes more runs than it is worth."
    rounds = max(ran + math.ceil(needed[name] / size), most + 1)
    command = next_command("resume", RUN=near(request.path), MAX_BLOCKS=str(rounds))
    return (
        f"The experiment ended {why} `{name}` may be decided, for or against, by "
        f"{(rounds - ran) * size} more, but may take many times that: {command}"
    )


def _held(verdict: Verdict) -> str:
    """Say how to compare again without the values at which runs fail; empty without any."""
    parts = []
    for factor, found in verdict.factors:
        if found.by_runs_that_fail and found.outcome == "hurts":
            keys = listed([f"`{key}`" for key in factor.reference])
            parts.append(as_typed(f"compare again with {keys} held by `--fix`"))
        elif found.by_runs_that_fail:
            parts.append(f"give both files the best's value of `{factor.name}` and compare again")
    return " and ".join(parts)


def _most(effect: Effect) -> float | None:
    ends = [abs(end) for end in effect.ci95]
    return max(ends) if all(map(math.isfinite, ends)) else None
