"""Judgement of every factor of a script, from the runs of the experiment so far.

The statistics are those of every experiment of this project (`search.verdict`): blocks of a
two-level design, least squares with a moderated error term, one-sided decisions whose error
probability is shared over looks and factors by Holm's procedure, and estimates of what was decided
that allow for having been selected. One metric decides; runs that end without a result are an
outcome of their own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from search.commands.compare.answer.finding import Factored, Finding, Joint
from search.commands.compare.answer.margin import metric_for
from search.commands.compare.asked.layout import Layout
from search.commands.compare.asked.measuring import Measure
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.records.metrics import Metric, declared
from search.verdict.divergence import Divergence
from search.verdict.effects import NO_EFFECT, Effect, Run, estimate_effects
from search.verdict.interactions import (
    effects_beside,
    estimate_interactions,
    is_strong,
)
from search.verdict.judgement import Judgement, judge_all
from search.verdict.looking import Rounds, Schedule, is_enough, looks_at

_LEVEL = "none"
USUAL_EFFECT = 2.0
"""Usual size of an effect in margins, by which open ones are shrunk."""
_NORMAL = 1.959964


def judging(request: Request, layout: Layout, log: RunLog) -> Callable[[], Finding]:
    """Return what judges the experiment so far, once for each number of runs that have ended."""
    known: dict[int, Finding] = {}

    def judge() -> Finding:
        ended = sum(log.is_over(cell.run_id) for cell in log.of_stage("attribute"))
        if ended not in known:
            measures = request.measures
            metric = metric_for(measures[0], log, request.margin)
            known[ended] = find(layout, log, measures, metric, plans=request.plans)
        return known[ended]

    return judge


def find(
    layout: Layout,
    log: RunLog,
    measures: Sequence[Measure],
    metric: Metric,
    *,
    plans: tuple[int, ...],
) -> Finding:
    """Estimate and judge every factor by the looks that were taken so far.

    Args:
        layout: The design.
        log: What has been run.
        measures: Metrics; the first decides.
        metric: The first one, as the statistics know it.
        plans: Most rounds as they were planned at first, and at each top-up.
    """
    cells = [cell for cell in log.of_stage("attribute") if log.is_over(cell.run_id)]
    by_measure = {m.text: [run_of(cell, log, m) for cell in cells] for m in measures}
    runs = by_measure[measures[0].text]
    rounds, schedule = rounds_of(layout), Schedule(first=2, plans=plans)
    with declared(metric):
        looks = looks_at(runs, rounds, schedule, metric)
        judged = judge_all(looks, runs_per_round=rounds.runs, first=metric)
        still_open = [name for name in layout.names if judged[name].outcome == "open"]
        is_decided = rounds.done(runs) >= schedule.first and is_enough(
            runs,
            rounds,
            schedule,
            still_open=still_open,
            num_unturned=sum(judgement.outcome != "helps" for judgement in judged.values()),
            failures=looks[-1].divergences,
            first=metric,
        )
    effects = {text: _effects(of, layout.names, metric) for text, of in by_measure.items()}
    factors = tuple(
        _factored(
            name,
            judged[name],
            {text: of.get(name, NO_EFFECT) for text, of in effects.items()},
            looks[-1].divergences.get(name),
            effects[measures[0].text].get(name, NO_EFFECT),
            metric,
        )
        for name in layout.names
    )
    joints = _joints(runs, layout.names, effects[measures[0].text], metric)
    return Finding(
        metric=metric,
        factors=factors,
        joints=joints,
        looks=sum(look.share > 0.0 for look in looks),
        is_decided=is_decided,
        rounds=rounds.done(runs),
        num_runs=sum(not run.diverged for run in runs),
    )


def beside(
    finding: Finding, log: RunLog, measure: Measure, levels: Mapping[str, int]
) -> dict[str, Effect]:
    """Estimate what a change is worth beside these levels, where it depends on another factor.

    Args:
        finding: Result of the experiment.
        log: What has been run.
        measure: The metric that decides.
        levels: Level of each factor in the configuration that is written out.
    """
    depending = {name for joint in finding.joints for name in (joint.subject, joint.other)}
    if not depending:
        return {}
    cells = [cell for cell in log.of_stage("attribute") if log.is_over(cell.run_id)]
    runs = [run_of(cell, log, measure) for cell in cells]
    with declared(finding.metric):
        found = effects_beside(runs, tuple(levels), levels, metric=finding.metric)
    return {name: effect for name, effect in found.items() if name in depending}


def largest_effect(request: Request, layout: Layout, log: RunLog) -> str:
    """Name the factor with the largest effect in the runs that have ended, by the first metric.

    One is passed over if, laid out by it, the runs that requirements leave would not tell all
    factors apart. It is the first factor where no effect is known, for too few runs have a result.
    """
    measure = request.measures[0]
    cells = [cell for cell in log.of_stage("attribute") if log.is_over(cell.run_id)]
    metric = metric_for(measure, log, request.margin)
    effects = _effects([run_of(cell, log, measure) for cell in cells], layout.names, metric)
    known = {name: abs(effect.mean) for name, effect in effects.items() if effect.is_estimable}
    ranked = sorted(known, key=lambda name: -known[name])
    can_be = (name for name in ranked if replace(layout, cleared=name).untold is None)
    return next(can_be, layout.names[0])


def rounds_of(layout: Layout) -> Rounds:
    """Return the rounds of a design, as the rules of looking and stopping take them."""
    return Rounds(names=layout.names, blocks=layout.blocks_per_round, runs=layout.runs_per_round)


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


def _effects(runs: Sequence[Run], names: tuple[str, ...], metric: Metric) -> dict[str, Effect]:
    with declared(metric):
        found = estimate_effects(runs, names, first=metric)
    return {name: of[metric.on("val")] for name, of in found.items()}


def _joints(
    runs: Sequence[Run], names: tuple[str, ...], effects: Mapping[str, Effect], metric: Metric
) -> tuple[Joint, ...]:
    """Pairs whose joint effect is beyond noise and worth a sentence, as in a search's verdict."""
    with declared(metric):
        found = estimate_interactions(runs, names, ema=False, metric=metric)
    strong = []
    for (a, b), joint in found.items():
        if not is_strong(joint, len(found), metric):
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
