"""The main job: the stages search, attribute and confirm, and the verdict."""

import logging
from collections.abc import Callable

from search.commands.console import say, tell_of_tracking
from search.commands.job import Job, Say, Session
from search.commands.plan import show
from search.engine.conductor import Stage
from search.engine.storage import below, delete_folder, lent_weights
from search.plan.config import RunConfig
from search.plan.planning import make_plan
from search.plan.stage_size import search_sizes
from search.records.trials import Trial
from search.report.outputs import SoFar, write_outputs
from search.report.terminal import print_verdict
from search.stages.analysis import analyse
from search.stages.sequence import stage_makers
from search.tracking.champion_choice import make_champion

log = logging.getLogger("search")


def _stages(session: Session, deadline: float | None, say: Say) -> list[Callable[[], Stage]]:
    return stage_makers(session.config, session.plan, session.journal, deadline=deadline, say=say)


def _watch(session: Session) -> Callable[[Trial], None]:
    """Return a function that keeps the report and the tables up to date after each trial."""
    so_far = SoFar(session.config, session.plan)
    return lambda _: so_far.offer(session.journal.trials.values())


def _tell(session: Session) -> None:
    """Draw the verdict, write all files, upload them to the store, and print the verdict."""
    config, plan, journal = session.config, session.plan, session.journal
    analysis = analyse(journal, plan, config)
    write_outputs(config, plan, journal, analysis)
    champion = None
    try:
        champion = make_champion(config, plan, session.dataset, journal, analysis)
    except OSError as error:  # The verdict does not depend on the model.
        log.warning("no champion model: %s", error)
        say(session.console, f"No champion model: {error}", style="yellow")
    _delete_lent(config)
    session.tracker.close_search(
        "FINISHED", verdict=analysis.verdict, artifacts=config.path, champion=champion
    )
    # Before the answer, which is to be the last screen.
    tell_of_tracking(session.console, session.tracker.problems)
    print_verdict(session.console, config, plan, analysis, has_model=champion is not None)


def _delete_lent(config: RunConfig) -> None:
    """Delete weights that were lent to a soup and are left after a crash."""
    storage = below(config.storage or config.run_dir, config.run_name, "ray")
    try:
        delete_folder(lent_weights(storage))
    except OSError as error:  # All else of the run is whole.
        log.warning("weights were left in %s: %s", storage, error)


SEARCH = Job(
    kind="",
    result="verdict.json",
    make_plan=make_plan,
    show=show,
    sizes=lambda config, plan: search_sizes(plan, config, None),
    stages=_stages,
    watch=_watch,
    tell=_tell,
)
