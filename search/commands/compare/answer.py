"""The answer of a comparison in sentences, as a table, as JSON and as a configuration file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.commands.compare.configurations import Configuration
from search.commands.compare.factors import BEST, REFERENCE, Factor, at_levels
from search.commands.compare.layout import Layout, ends
from search.commands.compare.measuring import Measure
from search.commands.compare.request import Request
from search.commands.compare.run_log import RunLog
from search.commands.compare.schedule import CONFIRMED, role_of
from search.commands.compare.statistics import Factored, Finding, difference
from search.recipes.yaml_file import comment_block
from search.records.metrics import Metric
from search.verdict.effects import Effect
from search.verdict.schema import Estimate
from search.verdict.wording import count, listed, runs_range

SCHEMA = "comparison/1"
TURNS = {
    "helps": "take the best's",
    "hurts": "keep yours",
    "same": "no difference",
    "open": "not decided",
}
"""Words for each outcome of a factor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """Results of the confirmation on fresh seeds.

    Attributes:
        means: Mean of the metric by configuration; those that were not run are left out.
        seeds: Seeds with a result of each.
        advised_minus: By the other configuration, what the advised one changes.
        same_as: What the advised configuration is equal to: ``reference``, ``best``, or nothing.
        better: Whichever of reference and best is better than the advised one beyond noise, or
            nothing. Then that is what is written out.
    """

    means: Mapping[str, float]
    seeds: Mapping[str, int]
    advised_minus: Mapping[str, Estimate]
    same_as: str
    better: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The whole answer, and what it was drawn from.

    Attributes:
        request: What was asked.
        finding: What the experiment showed.
        confirmation: What fresh seeds showed, or None without any.
        advised: The configuration to go on with: the reference with what was found to help, unless
            reference or best as a whole is better than it on fresh seeds beyond noise.
        limits: Sentences on what the design cannot tell apart.
        num_failed: Runs without a result.
        seconds: Wall-clock of all sessions.
    """

    request: Request
    finding: Finding
    confirmation: Confirmation | None
    advised: Configuration
    limits: tuple[str, ...]
    num_failed: int
    seconds: float

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.finding.metric

    @property
    def factors(self) -> tuple[tuple[Factor, Factored], ...]:
        """Each factor with what is known of it."""
        known = {found.name: found for found in self.finding.factors}
        return tuple((factor, known[factor.name]) for factor in self.request.factors)


def verdict_of(
    request: Request, layout: Layout, log: RunLog, finding: Finding, *, rounds: int
) -> Verdict:
    """Draw the answer from everything that was run."""
    levels = finding.advised
    confirmation = _confirmation(request, layout, log, finding)
    written = dict(zip(("reference", "best"), ends(layout), strict=True))
    exported = written.get(confirmation.better if confirmation else "", levels)
    return Verdict(
        request=request,
        finding=finding,
        confirmation=confirmation,
        advised=at_levels(request.configuration, request.factors, exported),
        limits=layout.limits(max(1, rounds)),
        num_failed=sum(not o.is_done for o in log.outcomes.values()),
        seconds=log.seconds,
    )


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
            "what to do": TURNS[found.outcome],
            "yours": _cut(factor.words(REFERENCE)),
            "best": _cut(factor.words(BEST)),
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
                f"{name}: {a} of {n} runs ended without a result at {_cut(factor.words(REFERENCE))}"
                f", {b} of {m} at {_cut(factor.words(BEST))}."
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
            f"{_cut(other.words(REFERENCE))}, and by {unit.signed(joint.at_best)} where it is "
            f"{_cut(other.words(BEST))}."
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


def advised_text(verdict: Verdict) -> str:
    """The advised configuration in the format of the reference, with the reason of each change."""
    text = verdict.advised.text()
    if verdict.advised.format == "json":
        return text
    lines = [f"Advised by the comparison {verdict.request.run_name}: {sentence(verdict)}"]
    better = verdict.confirmation.better if verdict.confirmation else ""
    if better:
        lines.append(f"It is the {better} as a whole, which did better on fresh seeds.")
    for factor, found in verdict.factors:
        level = BEST if found.takes_best else REFERENCE
        why = f": {TURNS[found.outcome]}"
        if better:
            level, why = BEST if better == "best" else REFERENCE, ""
        lines.append(f"{found.name} = {_cut(factor.words(level))}{why}")
    return comment_block(lines) + text


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """Plain values as written to ``verdict.json``."""
    metric, request = verdict.metric, verdict.request
    found = verdict.confirmation
    return {
        "schema": SCHEMA,
        "run": request.run_name,
        "metric": {
            "name": metric.words,
            "read_from": request.metrics[0],
            "larger_is_better": metric.larger_is_better,
            "margin": metric.margin,
        },
        "sentence": sentence(verdict),
        "factors": [
            {
                "name": factor.name,
                "keys": list(factor.reference),
                "reference": factor.words(REFERENCE),
                "best": factor.words(BEST),
                "turn": TURNS[known.outcome],
                "decided_by": None
                if known.outcome == "open"
                else ("runs without a result" if known.by_runs_that_fail else metric.words),
                "advised": "best" if known.takes_best else "reference",
                "effect": {
                    text: {"mean": effect.mean, "ci95": effect.ci95}
                    for text, effect in known.effects.items()
                    if effect.is_estimable
                },
                "selected": known.selected
                and {"mean": known.selected.mean, "ci95": known.selected.ci95},
                "failed": known.failed
                and {"runs": known.failed.runs, "failed": known.failed.diverged},
                "more_runs": known.more_runs,
            }
            for factor, known in verdict.factors
        ],
        "advised": verdict.advised.values,
        "confirmed": found
        and {
            "means": found.means,
            "seeds": found.seeds,
            "same_as": found.same_as or None,
            "better": found.better or None,
            "advised_minus": {
                other: {"mean": gain.mean, "ci95": gain.ci95}
                for other, gain in found.advised_minus.items()
            },
        },
        "interactions": [
            {
                "factor": joint.subject,
                "depends_on": joint.other,
                "effect_at_reference": joint.at_reference,
                "effect_at_best": joint.at_best,
            }
            for joint in verdict.finding.joints
        ],
        "looks": verdict.finding.looks,
        "num_runs": verdict.finding.num_runs,
        "num_failed": verdict.num_failed,
        "limits": list(verdict.limits),
        "wall_s": verdict.seconds,
    }


def effect_words(effect: Effect, metric: Metric) -> str:
    """An effect with its interval, ``+1.2 [+0.3, +2.1]``; empty where it cannot be told."""
    if not effect.is_estimable:
        return ""
    return estimate_words(Estimate(mean=effect.mean, ci95=effect.ci95), metric)


def estimate_words(estimate: Estimate, metric: Metric) -> str:
    """A difference with its interval."""
    low, high = estimate.ci95
    known = math.isfinite(low) and math.isfinite(high)
    ends = metric.unit.interval(low, high) if known else "(interval unknown)"
    return f"{metric.unit.signed(estimate.mean)} {ends}"


def _confirmation(
    request: Request, layout: Layout, log: RunLog, finding: Finding
) -> Confirmation | None:
    measure, levels, metric = request.measures[0], finding.advised, finding.metric
    values: dict[str, list[float]] = {}
    for role in CONFIRMED:
        run_as = role_of(layout, levels, role)
        values[role] = [
            log.outcomes[cell.run_id].metrics[measure.text]
            for cell in log.of_stage("confirm")
            if cell.role == run_as
            and cell.run_id in log.outcomes
            and log.outcomes[cell.run_id].is_done
        ]
    known = {role: of for role, of in values.items() if of}
    if not known:
        return None
    advised = role_of(layout, levels, "advised")
    gains = {
        other: gain
        for other in ("reference", "best")
        if other != advised and (gain := difference(log, advised, other, measure)) is not None
    }
    return Confirmation(
        means={role: float(np.mean(of)) for role, of in known.items()},
        seeds={role: len(of) for role, of in known.items()},
        advised_minus=gains,
        same_as="" if advised == "advised" else advised,
        better=_better(gains, metric),
    )


def _better(gains: Mapping[str, Estimate], metric: Metric) -> str:
    """Whichever other configuration the advised one falls behind the most, beyond noise."""
    behind = {other: gain.times(metric.sign) for other, gain in gains.items()}
    worse = {other: gain.mean for other, gain in behind.items() if gain.ci95[1] < 0.0}
    return min(worse, key=lambda other: worse[other]) if worse else ""


def _gain(gain: Estimate, metric: Metric) -> str:
    low, high = gain.ci95
    words = estimate_words(gain, metric)
    return words if low > 0.0 or high < 0.0 else f"no clear difference, {words},"


def _most(effect: Effect) -> float | None:
    ends = [abs(end) for end in effect.ci95]
    return max(ends) if all(map(math.isfinite, ends)) else None


def digits_of(metric: Metric, measure: Measure, effect: Effect) -> Metric:
    """A further metric, written with digits that suit its size."""
    size = max((abs(end) for end in effect.ci95 if math.isfinite(end)), default=1.0) or 1.0
    decimals = min(8, max(0, 2 - math.floor(math.log10(size))))
    return replace(
        metric,
        words=measure.name,
        larger_is_better=measure.larger_is_better,
        unit=replace(metric.unit, decimals=decimals),
    )


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
