"""Statistics of a comparison: effects, decisions with error control, confirmation.

The statistics are those of every experiment of this project (`search.verdict`): blocks of a
two-level design, least squares with a moderated error term, one-sided decisions whose error
probability is shared over looks and factors by Holm's procedure, and estimates of what was decided
that allow for having been selected. One metric decides; runs that end without a result are an
outcome of their own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.commands.compare.layout import Layout
from search.commands.compare.measuring import Measure
from search.commands.compare.run_log import Cell, RunLog
from search.records.metrics import Metric, Unit, declared
from search.verdict.confirmation import paired_interval
from search.verdict.divergence import Divergence, divergence_by_level
from search.verdict.effects import NO_EFFECT, Effect, Run, estimate_effects
from search.verdict.interactions import STRONG_INTERACTION, estimate_interactions
from search.verdict.judgement import Judgement, Look, judge_all
from search.verdict.looking import FUTILE, Schedule
from search.verdict.schema import Estimate
from search.verdict.sequential import FAMILY_ALPHA, runs_to_turn, shares

_LEVEL = "none"
USUAL_EFFECT = 2.0
"""Usual size of an effect in margins, by which open ones are shrunk."""
_NORMAL = 1.959964
SMALLEST_SHARE = 0.005
"""Margin of a share of things that are right, half a point; in percent, a hundred times that."""
MARGIN_SHARE = 0.01
"""Margin of any other metric, as a part of its mean over the reference's runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factored:
    """Effects and decision of one factor.

    Attributes:
        name: The factor.
        outcome: ``helps``, ``hurts``, ``same`` or ``open``: what the best's value does.
        by_runs_that_fail: Whether runs without a result decided, and not the metric.
        effects: By metric, as typed: the change from the reference's value to the best's.
        selected: Where it helps: the effect, allowing for having been selected.
        failed: Runs without a result at the reference's value and at the best's, and all runs.
        more_runs: Range of further runs that would decide an open one, or None.
        takes_best: Whether the advised configuration has the best's value.
    """

    name: str
    outcome: str
    by_runs_that_fail: bool
    effects: Mapping[str, Effect]
    selected: Estimate | None
    failed: Divergence | None
    more_runs: tuple[int, int] | None
    takes_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Joint:
    """Two factors of which the effect of one depends on the value of the other, beyond noise.

    Attributes:
        subject: The factor whose main effect is the smaller one.
        other: The one it depends on.
        at_reference: Effect of the subject where the other has the reference's value.
        at_best: The same where it has the best's.
    """

    subject: str
    other: str
    at_reference: float
    at_best: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Result of the experiment so far.

    Attributes:
        metric: The metric that decides, with its margin.
        factors: In the order of the configuration.
        looks: How often the experiment was looked at.
        is_decided: Whether further rounds would hardly decide more.
        num_runs: Runs with a result.
        joints: Pairs that depend on each other.
    """

    metric: Metric
    factors: tuple[Factored, ...]
    joints: tuple[Joint, ...]
    looks: int
    is_decided: bool
    num_runs: int

    @property
    def advised(self) -> dict[str, int]:
        """Levels of the advised configuration."""
        return {f.name: 1 if f.takes_best else -1 for f in self.factors}


def metric_for(measure: Measure, log: RunLog, margin: float | None) -> Metric:
    """The entry of a script's metric, with the margin that was asked for or that its size suggests.

    Args:
        measure: The metric.
        log: Its runs, for the usual size of the metric.
        margin: As asked for, in the metric's own unit, or None.
    """
    values = [outcome.metrics[measure.text] for outcome in log.outcomes.values() if outcome.is_done]
    if margin is None:
        margin = _usual_margin(measure, values)
    decimals = min(8, max(0, math.ceil(-math.log10(margin)) + 1))
    return Metric(
        name="script",
        words=measure.name,
        unit=Unit(word="", decimals=decimals, least_span=4.0 * margin, least=-math.inf),
        larger_is_better=measure.larger_is_better,
        margin=margin,
    )


def find(
    layout: Layout, log: RunLog, measures: Sequence[Measure], metric: Metric, *, most_rounds: int
) -> Finding:
    """Estimate and judge every factor by the looks that were taken so far."""
    cells = [cell for cell in log.of_stage("attribute") if log.is_over(cell.run_id)]
    by_measure = {m.text: [run_of(cell, log, m) for cell in cells] for m in measures}
    runs = by_measure[measures[0].text]
    schedule = Schedule(first=2, plans=(most_rounds,))
    looks = _looks(runs, layout, schedule, metric)
    with declared(metric):
        judged = judge_all(looks, runs_per_round=layout.runs_per_round, first=metric)
    others = {text: _effects(of, layout.names, metric) for text, of in by_measure.items()}
    factors = tuple(
        _factored(
            name,
            judged[name],
            {text: effects.get(name, NO_EFFECT) for text, effects in others.items()},
            looks[-1].divergences.get(name),
            others[measures[0].text].get(name, NO_EFFECT),
            metric,
        )
        for name in layout.names
    )
    return Finding(
        metric=metric,
        factors=factors,
        joints=_joints(runs, layout.names, others[measures[0].text], metric),
        looks=sum(look.share > 0.0 for look in looks),
        is_decided=_may_stop(runs, layout, schedule, factors, looks, metric),
        num_runs=sum(not run.diverged for run in runs),
    )


def run_of(cell: Cell, log: RunLog, measure: Measure) -> Run:
    """A run as the statistics want it; one without a result counts as diverged."""
    outcome = log.outcomes[cell.run_id]
    value = outcome.metrics.get(measure.text, math.nan)
    return Run(
        run_id=cell.run_id,
        block=cell.block,
        levels=cell.levels,
        metrics={_LEVEL: {"val/script": value}},
        diverged=not outcome.is_done,
    )


def difference(log: RunLog, a: str, b: str, measure: Measure) -> Estimate | None:
    """Estimate what configuration ``a`` of the confirmation gains over ``b``, paired by seed.

    A 95 % t interval over seeds; infinite with one seed, None without any.
    """
    values: dict[str, dict[int, float]] = {a: {}, b: {}}
    for cell in log.of_stage("confirm"):
        outcome = log.outcomes.get(cell.run_id)
        if cell.role in values and outcome is not None and outcome.is_done:
            values[cell.role][cell.seed] = outcome.metrics[measure.text]
    seeds = sorted(set(values[a]) & set(values[b]))
    if not seeds:
        return None
    gains = np.array([[values[a][seed] - values[b][seed]] for seed in seeds])
    return Estimate(mean=float(gains.mean()), ci95=paired_interval(gains))


def _looks(
    runs: Sequence[Run], layout: Layout, schedule: Schedule, metric: Metric
) -> tuple[Look, ...]:
    """Every look so far, oldest first; before the first is due, one that may spend nothing."""
    size = layout.blocks_per_round
    num_rounds = len({run.block for run in runs}) // size

    def look(rounds: int) -> Look:
        seen = [run for run in runs if run.block < rounds * size] if rounds < num_rounds else runs
        return Look(
            share=schedule.share(rounds) if rounds >= schedule.first else 0.0,
            effects={
                name: {metric.on("val"): effect}
                for name, effect in _effects(seen, layout.names, metric).items()
            },
            divergences=divergence_by_level(seen, layout.names),
        )

    return tuple(map(look, range(schedule.first, num_rounds + 1))) or (look(num_rounds),)


def _effects(runs: Sequence[Run], names: tuple[str, ...], metric: Metric) -> dict[str, Effect]:
    with declared(metric):
        found = estimate_effects(runs, names, ema=False, first=metric)
    return {name: of[metric.on("val")] for name, of in found.items()}


def _joints(
    runs: Sequence[Run], names: tuple[str, ...], effects: Mapping[str, Effect], metric: Metric
) -> tuple[Joint, ...]:
    """Pairs whose joint effect is beyond noise and worth a sentence, as in a search's verdict."""
    with declared(metric):
        found = estimate_interactions(runs, names, ema=False, metric=metric)
    strong = []
    for (a, b), joint in found.items():
        low, high = joint.interval(FAMILY_ALPHA / len(found))
        is_large = abs(joint.mean) >= STRONG_INTERACTION * metric.margin
        if not (is_large and (low > 0.0 or high < 0.0)):
            continue
        means = {name: effects[name].mean for name in (a, b)}
        if any(map(math.isnan, means.values())):
            continue
        subject, other = (a, b) if abs(means[a]) <= abs(means[b]) else (b, a)
        half = joint.mean / 2.0
        strong.append(
            Joint(
                subject=subject,
                other=other,
                at_reference=means[subject] - half,
                at_best=means[subject] + half,
            )
        )
    return tuple(strong)


def _factored(
    name: str,
    judgement: Judgement,
    effects: Mapping[str, Effect],
    failed: Divergence | None,
    effect: Effect,
    metric: Metric,
) -> Factored:
    takes = judgement.outcome == "helps"
    if judgement.outcome == "open":
        gain = _shrunken(effect, metric)
        takes = gain is not None and gain >= metric.margin
    return Factored(
        name=name,
        outcome=judgement.outcome,
        by_runs_that_fail=judgement.decided_by == "diverged",
        effects=effects,
        selected=judgement.selected,
        failed=failed,
        more_runs=judgement.more_runs_range,
        takes_best=takes,
    )


def _shrunken(effect: Effect, metric: Metric) -> float | None:
    """The gain that is expected of an open change: the mean of a normal posterior."""
    noise = (effect.ci95[1] - effect.ci95[0]) / (2.0 * _NORMAL)
    if not effect.is_estimable or not 0.0 <= noise < math.inf:
        return None
    usual = USUAL_EFFECT * metric.margin
    return metric.sign * effect.mean * usual**2 / (usual**2 + noise**2)


def _may_stop(
    runs: Sequence[Run],
    layout: Layout,
    schedule: Schedule,
    factors: Sequence[Factored],
    looks: Sequence[Look],
    metric: Metric,
) -> bool:
    """Whether further rounds would hardly decide another factor, as `search.verdict.looking`."""
    done = len({run.block for run in runs}) // layout.blocks_per_round
    left = schedule.plans[-1] - done
    still_open = [factor.name for factor in factors if factor.outcome == "open"]
    if done < schedule.first:
        return False
    if not still_open or left <= 0:
        return True
    failures = looks[-1].divergences
    if any(name in failures and failures[name].p_value < FAMILY_ALPHA for name in still_open):
        return False  # What has no value has no effect to go by; counts go on to tell.
    size = layout.runs_per_round
    needed = min(
        runs_to_turn(
            looks[-1].effects[name][metric.on("val")].times(metric.sign),
            runs_per_round=size,
            share=schedule.share(schedule.plans[-1]) * shares(metric)[metric.on("val")],
            num_dials=max(1, len(still_open)),
        )
        for name in still_open
    )
    return needed > FUTILE * left * size


def _usual_margin(measure: Measure, values: Sequence[float]) -> float:
    size = float(np.mean(np.abs(values))) if values else 1.0
    is_share = measure.larger_is_better and values and 0.0 <= min(values) <= max(values) <= 100.0
    if is_share and max(values) <= 1.0:
        return SMALLEST_SHARE
    if is_share and max(values) > 20.0:
        return 100.0 * SMALLEST_SHARE
    return MARGIN_SHARE * size or MARGIN_SHARE
