"""Build the stages of a run, each at the moment it begins."""

from collections.abc import Callable, Sequence
from functools import partial

from search.engine.conductor import Stage
from search.plan.config import NO_RUNS, RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import LEARNING_CURVE, REFINE
from search.records.journal import Journal
from search.records.metrics import decided_by
from search.stages.advice import advise
from search.stages.analysis import (
    decide_dials,
    experiment_runs,
    is_decided_by,
    pick_best,
    tried_best,
)
from search.stages.experiment import attribute_stage, confirm_stage
from search.stages.fresh_runs import fit_evidence, runs_by_role
from search.stages.learning_curve import learning_curve_specs, numbered_specs
from search.stages.listed_stage import ListedStage
from search.stages.proposer import Proposer
from search.stages.refinement import ladders, refine_stage
from search.stages.rungs import Rungs
from search.stages.search_stage import SearchSettings, SearchStage
from search.verdict.fit.longer import is_mostly_unfit
from search.verdict.schema import Dial
from search.verdict.wording import listed, raw
from spaces.errors import InputError
from spaces.recipe import Recipe


def stage_makers(
    config: RunConfig,
    plan: Plan,
    journal: Journal,
    *,
    deadline: float | None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Callable[[], Stage]]:
    """Return one function per stage that builds it, to be called when all earlier stages ended.

    Args:
        config: The run's settings.
        plan: The run's plan.
        journal: Memory of the run.
        deadline: Value of `time.monotonic` in seconds after which no further trial is proposed and
            no further block is begun, or None.
        say: Prints a line to the user: why the search ends before all samples are used.
    """

    def attribute() -> Stage:
        best = tried_best(journal, plan, config)

        def is_decided() -> bool:
            runs = experiment_runs(journal.of_stage("attribute"))
            return is_decided_by(runs, plan, config, best)

        return attribute_stage(
            journal, plan, config, best=best, is_decided=is_decided, deadline=deadline
        )

    def confirm() -> Stage:
        best = pick_best(journal, plan, config)
        _, advised = _decided(journal, plan, config)

        def asks_for_longer() -> bool:
            by_role = runs_by_role(journal.of_stage("confirm"), plan, best, advised)
            return is_mostly_unfit(fit_evidence(by_role), metric=decided_by(config.metric))

        return confirm_stage(
            journal, plan, config, best=best, advised=advised, asks_for_longer=asks_for_longer
        )

    def refine() -> Stage:
        dials, advised = _decided(journal, plan, config)
        return refine_stage(journal, plan, config, dials=dials, advised=advised)

    def learning_curve() -> Stage:
        _, advised = _decided(journal, plan, config)
        tried = tried_best(journal, plan, config)
        specs = learning_curve_specs(plan, config, tried=tried, advised=advised)
        return ListedStage(
            LEARNING_CURVE, journal, lambda number: [] if number else numbered_specs(journal, specs)
        )

    makers: dict[str, Callable[[], Stage]] = {
        "search": partial(_search_stage, config, plan, journal, deadline, say),
        "attribute": attribute,
        "confirm": confirm,
        REFINE: refine,
        LEARNING_CURVE: learning_curve,
    }
    asked = {REFINE: bool(config.refine), LEARNING_CURVE: config.learning_curve}
    names = (*config.stages, *(name for name, is_asked in asked.items() if is_asked))
    return [makers[name] for name in names]


def require_turned(config: RunConfig, plan: Plan, journal: Journal) -> None:
    """Raise if a strength that is to be refined has no value between two ends.

    Args:
        config: What was asked.
        plan: The run's plan.
        journal: Memory of a run whose experiment has ended.

    Raises:
        InputError: If its dial leaves it where it was.
    """
    dials, advised = _decided(journal, plan, config)
    turned = {ladder.strength for ladder in ladders(plan, config, dials, advised)}
    if left := [name for name in config.refine if name not in turned]:
        before, after = plan.dial_values(plan.reference), plan.dial_values(advised)
        changed = [n for n in before if before[n] != after[n] and n not in NO_RUNS]
        raise InputError(
            f"`refine` must name a strength that the advised recipe changes, but it leaves "
            f"{left[0]} at {raw(before[left[0]])}; it changes {listed(changed) or 'none'}."
        )


def _decided(journal: Journal, plan: Plan, config: RunConfig) -> tuple[Sequence[Dial], Recipe]:
    """Return the dials of the experiment so far and the recipe that follows them."""
    tried = tried_best(journal, plan, config)
    runs = experiment_runs(journal.of_stage("attribute"))
    dials = decide_dials(runs, plan, config, tried)[1]
    return dials, advise(plan, tried, dials).recipe


def _search_stage(
    config: RunConfig,
    plan: Plan,
    journal: Journal,
    deadline: float | None,
    say: Callable[[str], None],
) -> Stage:
    proposer = Proposer(
        config.path,
        study_name=config.run_name,
        names=plan.space.free_names,
        metric=config.metric,
        num_val=plan.data.num_val,
        seed=config.seed,
    )
    return SearchStage(
        journal,
        anchors=plan.anchors,
        base=plan.reference,
        space=plan.space,
        proposer=proposer,
        rungs=Rungs(plan.rungs, keep=config.keep),
        settings=SearchSettings(
            num_samples=config.num_samples,
            metric=config.metric,
            num_val=plan.data.num_val,
            eval_epochs=plan.eval_epochs,
            rerun_top=config.rerun_top,
            seed=config.seed,
            deadline=deadline,
            patience=config.patience,
            topped_up_at=config.search_topped_up_at,
        ),
        say=say,
    )
