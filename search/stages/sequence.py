"""Build the stages of a run, each at the moment it begins."""

from collections.abc import Callable
from functools import partial

from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.plan import Plan
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
from search.stages.proposer import Proposer
from search.stages.rungs import Rungs
from search.stages.search_stage import SearchSettings, SearchStage
from search.verdict.longer import is_mostly_unfit


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
        best, tried = pick_best(journal, plan, config), tried_best(journal, plan, config)
        runs = experiment_runs(journal.of_stage("attribute"))
        advised = advise(plan, tried, decide_dials(runs, plan, config, tried)[1]).recipe

        def asks_for_longer() -> bool:
            by_role = runs_by_role(journal.of_stage("confirm"), plan, best, advised)
            return is_mostly_unfit(fit_evidence(by_role), metric=decided_by(config.metric))

        return confirm_stage(
            journal, plan, config, best=best, advised=advised, asks_for_longer=asks_for_longer
        )

    makers: dict[str, Callable[[], Stage]] = {
        "search": partial(_search_stage, config, plan, journal, deadline, say),
        "attribute": attribute,
        "confirm": confirm,
    }
    return [makers[name] for name in config.stages]


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
