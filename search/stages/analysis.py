"""Draw the verdict from the journal: pure functions of the plan and of the measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import LEARNING_CURVE, REFINE
from search.records.journal import Journal
from search.records.metrics import decided_by
from search.records.trials import Trial
from search.stages.advice import Advice, advise
from search.stages.experiment import NO_AVERAGE, confirm_roles, experiment_factors, same_role
from search.stages.fresh_runs import (
    advised_confusion,
    confirmed,
    evidence,
    fit_evidence,
    means,
    on_validation,
    runs_by_role,
)
from search.stages.learning_curve import CELL, learning_curve_of
from search.stages.refinement import refinements
from search.stages.selection import pick, ranked
from search.stages.simpler import (
    average_is_worth_it,
    off_for_nearly_off,
    with_average_off,
    without_average,
)
from search.stages.within_run import (
    as_advised,
    as_turned,
    for_the_advised_average,
    left_open,
    of_all_runs,
    with_other_statistics,
    with_tried,
)
from search.verdict.confirmation import choose_export
from search.verdict.confusion import Confusion
from search.verdict.design import AVERAGES, EMA_FACTOR, Factors, WithinRun
from search.verdict.dials import decide
from search.verdict.effects import Effect, Run
from search.verdict.fit.evidence import LONGER
from search.verdict.fit.state import fit_state, is_undertrained
from search.verdict.interactions import estimate_interactions, strong_interactions
from search.verdict.judgement import Look
from search.verdict.looking import Schedule, looks_at, may_stop, rounds_of
from search.verdict.schema import Cost, Dial, Verdict
from search.verdict.wording import experiment_sentence, verdict_sentence
from spaces.edges import EdgeWarning, edge_warnings
from spaces.recipe import Recipe

NUM_BEST = 5
"""Number of best trials that are checked for lying together at one end of an axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """The verdict together with the recipes, effects and means that it was drawn from.

    Attributes:
        best: Pick of the search, or the recipe that was given instead.
        tried: Raw values by strength of the recipe that the experiment compared with the reference,
            which was the pick when the experiment began; the effects are those of going to these.
        advice: The recipe that follows the dials, with the reason for each value.
        exported: Recipe that is written for training.
        factors: Strengths that the experiment varied.
        effects: By strength and metric.
        measured: Mean over fresh seeds by role, then by metric.
        edges: Ends of axes at which the best trials lie together, with the range to try next.
        verdict: The content of ``verdict.json``.
        confusion: Which classes the advised recipe takes for which on the test images; None where
            that is not known.
    """

    best: Recipe
    tried: Mapping[str, float]
    advice: Advice
    exported: Recipe
    factors: Factors
    effects: dict[str, dict[str, Effect]]
    measured: dict[str, dict[str, float]]
    edges: tuple[EdgeWarning, ...]
    verdict: Verdict
    confusion: Confusion | None = None


def analyse(journal: Journal, plan: Plan, config: RunConfig) -> Analysis:
    """Draw the verdict from all trials that the run has measured so far."""
    best, tried = pick_best(journal, plan, config), tried_best(journal, plan, config)
    what = experiment_factors(plan, tried)
    runs = experiment_runs(journal.of_stage("attribute"))
    first = decided_by(config.metric)
    # As the confirmation ran it: before it was known whether the runs are long enough.
    advice = advise(plan, tried, decide_dials(runs, plan, config, tried)[1])
    stands_in = same_role(plan, best, advice.recipe)
    by_role = runs_by_role(journal.of_stage("confirm"), plan, best, advice.recipe)
    by_role = {role: trials for role, trials in by_role.items() if role != "advised" or trials}
    of_fit = fit_evidence(by_role)
    undertrained = is_undertrained(of_fit, metric=first)
    effects, dials = decide_dials(runs, plan, config, tried, undertrained=undertrained)
    fit = fit_state(of_fit, dials=dials, metric=first)
    found = confirmed(by_role, plan, config)
    compared = {role: trials for role, trials in by_role.items() if role != LONGER}
    ran = {role: evidence(trials) for role, trials in compared.items()}
    exported, because = choose_export(
        {
            role: on_validation(trials, first)
            for role, trials in compared.items()
            if stands_in[role] != stands_in["advised"] or role == "advised"
        },
        diverged={role for role, of in ran.items() if of.has_diverged or not of.metrics},
        undertrained=undertrained,
    )
    if exported == "advised" and by_role and "advised" not in by_role:
        because = "it has not been run itself: an older version confirmed this run"
    recipes = confirm_roles(plan, best, advice.recipe)
    interactions = strong_interactions(
        estimate_interactions(runs, what.trajectory, ema=AVERAGES in what.within, metric=first),
        effects,
        reference=plan.dial_values(plan.reference),
        best=plan.dial_values(tried),
        metric=first,
    )
    looks = looks_at(runs, rounds_of(what), schedule_of(config), first) if runs else ()
    verdict = Verdict(
        run=config.run_name,
        dataset=plan.data.name,
        model=plan.reference.model,
        num_train=plan.data.num_train,
        total_steps=plan.task.total_steps,
        fit=fit,
        dials=dials,
        confirmed=found,
        cost=_cost(journal),
        exported=exported,
        exported_because=because,
        advised=recipes[exported].to_dict(),
        advised_because=advice.reasons if exported == "advised" else {},
        sentence=verdict_sentence(
            dials=dials,
            fit=fit,
            confirmed=found,
            exported=exported,
            because=because,
            metric=first,
        ),
        interactions=interactions,
        looks=len(looks),
        top_ups=len(config.top_ups),
        experiment=experiment_sentence(
            looks=len(looks),
            num_runs=len(runs),
            top_ups=len(config.planned_blocks) - 1,
            is_pick=plan.dial_values(with_tried(best, plan)) == plan.dial_values(tried),
        ),
        metric=first.name,
        refined=refinements(
            journal.of_stage(REFINE), plan, config, dials=dials, advised=advice.recipe
        ),
        learning_curve=learning_curve_of(
            journal,
            plan,
            config,
            runs=runs,
            at_half=experiment_runs(
                [t for t in journal.of_stage(LEARNING_CURVE) if t.spec.role == CELL]
            ),
            tried=tried,
            advised=advice.recipe,
            dials=dials,
        ),
    )
    return Analysis(
        best=best,
        tried=plan.dial_values(tried),
        advice=advice,
        exported=recipes[exported],
        factors=what,
        effects=effects,
        measured={role: means(trials) for role, trials in compared.items()},
        edges=_edges(journal.of_stage("search"), plan, config),
        verdict=verdict,
        confusion=advised_confusion(by_role, plan, config),
    )


def pick_best(journal: Journal, plan: Plan, config: RunConfig) -> Recipe:
    """Return the recipe that the experiment compares with the reference.

    It is the one the user gave, else the one the search picks, else, without a search, the
    size-scaled default.
    """
    if plan.candidate is not None:
        return plan.candidate
    if "search" not in config.stages:
        return plan.anchors["scaled"]
    return pick(
        journal.of_stage("search"),
        top=config.rerun_top,
        metric=config.metric,
        num_val=plan.data.num_val,
    )


def tried_best(journal: Journal, plan: Plan, config: RunConfig) -> Recipe:
    """The recipe that the experiment holds against the reference: the pick when it began.

    A search that is topped up later may pick another; the runs and the error that the experiment
    has spent are about this one. What no search proposes is tried at another value than the
    reference's (`search.stages.within_run.with_tried`).
    """
    if plan.candidate is not None or "search" not in config.stages:
        return with_tried(pick_best(journal, plan, config), plan)
    before = takewhile(lambda t: t.spec.stage != "attribute", journal.trials.values())
    picked = pick(
        [trial for trial in before if trial.spec.stage == "search"],
        top=config.rerun_top,
        metric=config.metric,
        num_val=plan.data.num_val,
    )
    return with_tried(picked, plan)


def experiment_runs(trials: Sequence[Trial]) -> list[Run]:
    """Convert the ended trials of the attribute stage into the runs that the statistics take."""
    return [
        Run(
            run_id=trial.spec.trial_id,
            block=trial.spec.block or 0,
            levels=trial.spec.levels,
            metrics={
                level: _at_level(trial, level)
                for level in (*trial.spec.ema_levels, *trial.spec.within_levels)
            },
            diverged=trial.status == "diverged",
        )
        for trial in trials
        if trial.is_full_length or trial.status == "diverged"
    ]


def decide_dials(
    runs: Sequence[Run], plan: Plan, config: RunConfig, best: Recipe, *, undertrained: bool = False
) -> tuple[dict[str, dict[str, Effect]], tuple[Dial, ...]]:
    """Estimate the effects and decide the dials from the experiment's runs so far.

    Off is recommended where it does no worse than the best's value (`search.stages.simpler`).
    """
    what = experiment_factors(plan, best)
    first = decided_by(config.metric)

    def decided(
        of_runs: Sequence[Run],
        tried: Mapping[str, float],
        within: Sequence[WithinRun],
        one_in: int = 1,
    ) -> tuple[tuple[Look, ...], tuple[Dial, ...]]:
        rounds = replace(rounds_of(what), within=tuple(within))
        looks = looks_at(of_runs, rounds, schedule_of(config), first)
        return looks, decide(
            looks,
            reference=plan.dial_values(plan.reference),
            best=tried,
            task=plan.task,
            runs_per_round=rounds.runs // one_in,
            undertrained=undertrained,
            first=first,
        )

    tried = plan.dial_values(best)
    looks, dials = decided(runs, tried, what.within)
    effects = {name: dict(of) for name, of in looks[-1].effects.items()}
    has_both = best.strengths.ema_decay > 0.0 and any(NO_AVERAGE in run.metrics for run in runs)
    at_its_best = as_turned(runs, what, dials)
    if (
        AVERAGES in what.within
        and has_both
        and not average_is_worth_it(at_its_best, what.trajectory, first)
    ):
        raw_weights = without_average(runs, instead_of="best")
        _, off = decided(raw_weights, {**tried, EMA_FACTOR: 0.0}, [AVERAGES])
        dials = with_average_off(dials, {dial.strength: dial for dial in off})
    dials = tuple(off_for_nearly_off(dial, plan) for dial in dials)
    seen, moved = as_advised(runs, what, dials, plan, best)
    if moved:
        # With the advised class weights, of further rounds as well, one run in two tells.
        one_in = 1 if len(seen) == len(runs) else 2
        looks, again = decided(seen, tried, moved, one_in)
        effects |= {factor.name: dict(looks[-1].effects[factor.name]) for factor in moved}
        judged = {dial.strength: of_all_runs(dial, one_in) for dial in again}
        names = {factor.name for factor in moved}
        dials = tuple(judged[d.strength] if d.strength in names else d for d in dials)
    dials = for_the_advised_average(dials, what, plan, best)
    return effects, left_open(dials, with_other_statistics(dials, what))


def is_decided_by(runs: Sequence[Run], plan: Plan, config: RunConfig, best: Recipe) -> bool:
    """Whether the experiment may stop after these runs, before its largest number of blocks."""
    _, dials = decide_dials(runs, plan, config, best)
    what, first = experiment_factors(plan, best), decided_by(config.metric)
    # What is open because the statistics are others stays so, however many runs are made.
    lasting = with_other_statistics(dials, what)
    dials = tuple(dial for dial in dials if dial.strength not in lasting)
    return may_stop(runs, what, schedule_of(config), dials, first)


def schedule_of(config: RunConfig) -> Schedule:
    """Return the schedule of the looks at the experiment, counted in rounds of blocks."""
    return Schedule(first=config.min_blocks, plans=config.planned_blocks)


def _at_level(trial: Trial, level: str) -> dict[str, float]:
    """Select the final metrics of one measurement: ``val.best/top1`` becomes ``val/top1``."""
    if not trial.records:
        return {}
    marked = {
        name: value for name, value in trial.records[-1].metrics.items() if f".{level}/" in name
    }
    return {name.replace(f".{level}/", "/"): value for name, value in marked.items()}


def _edges(trials: Sequence[Trial], plan: Plan, config: RunConfig) -> tuple[EdgeWarning, ...]:
    order = ranked(trials, metric=config.metric, num_val=plan.data.num_val)
    best = [trial.spec.positions for trial in order[:NUM_BEST] if trial.spec.positions]
    return edge_warnings(plan.space, best) if best else ()


def _cost(journal: Journal) -> Cost:
    busy_s = sum(
        record.metrics.get("cost/train_s", 0.0) + record.metrics.get("cost/eval_s", 0.0)
        for trial in journal.trials.values()
        for record in trial.records
    )
    core_s = journal.core_s
    return Cost(
        wall_s=journal.wall_s,
        core_s=core_s,
        train_share=busy_s * journal.cores_per_trial / core_s if core_s else 0.0,
    )
