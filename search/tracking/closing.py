"""Writing of a search's view, artifacts, description and tags to MLflow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.records.trials import Trial
from search.tracking import artifacts, notes, view
from search.tracking.answer import KIND_TAG, STAGES_TAG, Answer, answer_note
from search.tracking.mirror import Mirror
from search.tracking.open_store import OtherVersionError
from search.tracking.trial_fields import run_name
from search.verdict.schema import Verdict

if TYPE_CHECKING:
    from search.tracking.champion import Champion, Registered

_STATES = {"FINISHED": "finished", "KILLED": "interrupted", "FAILED": "failed"}
_LINKED_FILES = (
    *artifacts.FILES[:5],
    *artifacts.ANSWER_FILES,
    "tables/dials.json",
    "tables/ablation.json",
    "tables/optimizers.json",
    "tables/trials.json",
)


def set_view(mirror: Mirror) -> None:
    """Store the saved view of the search and name the search in the experiment's description."""
    store, info = mirror.store, mirror.info
    kind = info.tags.get(KIND_TAG, "")
    is_search = "search" in info.tags.get(STAGES_TAG, "search").split(",")
    view.set_view(
        store,
        search_id=info.search_id,
        title=info.title,
        names=mirror.told.names,
        metric=mirror.told.metric,
        searched_by=mirror.told.searched_by,
        # The view of trials of a search would be empty.
        kind=kind if is_search else kind or "diagnosis",
    )
    if not kind:  # The experiment's description is about searches.
        describe_experiment(mirror)


def describe_experiment(mirror: Mirror, **answer: str) -> None:
    """Write the experiment's description: the newest search and its result."""
    store, info = mirror.store, mirror.info
    note = notes.experiment_note(
        title=info.title,
        charts=view.chart_url(store.experiment_id, info.search_id),
        table=view.table_url(store.experiment_id, info.search_id),
        verdict=view.run_url(store.experiment_id, mirror.parent),
        metric=mirror.told.metric,
        **answer,
    )
    view.set_experiment_note(store, note)


def upload(mirror: Mirror, *, run_dir: Path | None, verdict: Verdict | None) -> list[str]:
    """Upload the files of the run directory, if there is one, and return the artifacts' paths."""
    if run_dir is None:
        return []
    dials = notes.dial_table(verdict) if verdict else []
    return artifacts.upload(mirror.store, mirror.parent, run_dir, dials=dials)


def register(mirror: Mirror, *, champion: "Champion") -> "Registered":
    """Log the champion on the parent run and set the alias on it."""
    # Imported here, for it loads torch and timm, which other users of the store do not need.
    from search.tracking.champion import log_champion

    try:
        return log_champion(mirror.store.client, mirror.parent, champion)
    except (AttributeError, ImportError, TypeError) as error:
        # MLflow's versions differ in how models are logged; the verdict does not depend on it.
        raise OtherVersionError(f"{type(error).__name__}: {error}") from error


def publish(
    mirror: Mirror,
    *,
    status: str,
    verdict: Verdict | None,
    trials: Sequence[Trial],
    run_dir: Path | None,
    files: Sequence[str],
    champion: "Registered | None" = None,
    answer: Answer | None = None,
) -> None:
    """Write the metrics, tags and description of an ended search to its parent run.

    Args:
        mirror: The search in the store.
        status: Status with which it ended.
        verdict: The verdict, or None.
        trials: All its trials.
        run_dir: Run directory, or None.
        files: Paths of the artifacts.
        champion: The registered model, or None.
        answer: Result of an ablation or contest, in place of a verdict.
    """
    experiment_id, parent = mirror.store.experiment_id, mirror.parent
    charts = view.chart_url(experiment_id, mirror.info.search_id)
    counts = notes.count(trials)
    if verdict is None and answer is None:
        note = notes.open_note(
            mirror.info.title,
            _STATES[status],
            charts=charts,
            counts=counts,
            kind=mirror.info.tags.get(KIND_TAG, ""),
            resume=mirror.info.resume,
        )
        mirror.summarise(metrics={}, tags={"mlflow.note.content": note})
        return
    links = notes.Links(
        charts=charts,
        artifacts={
            path: artifacts.artifact_link(experiment_id, parent, path)
            for path in _LINKED_FILES
            if path in files
        },
        images=artifacts.images(run_dir, parent) if run_dir else {},
        runs=_runs_that_matter(mirror, trials),
        champion=view.model_url(champion.name, champion.version) if champion else "",
    )
    if answer is not None:
        note = answer_note(answer, links=links, counts=counts)
        mirror.summarise(metrics=answer.metrics, tags={"mlflow.note.content": note})
        return
    assert verdict is not None
    note = notes.verdict_note(verdict, counts=counts, links=links)
    tags = notes.verdict_tags(verdict) | {"mlflow.note.content": note}
    mirror.summarise(metrics=notes.verdict_metrics(verdict), tags=tags)


def _runs_that_matter(mirror: Mirror, trials: Sequence[Trial]) -> Mapping[str, str]:
    """Return the addresses of the pick, the reference and each role's first confirmation."""
    chosen: dict[str, Trial] = {}
    for trial in trials:
        if trial.spec.role == "anchor:reference" or trial.spec.stage == "confirm":
            chosen.setdefault(trial.spec.role, trial)
    picked = next((one.trial for one in mirror.told.standings(trials) if one.is_picked), None)
    if picked is not None:
        chosen = {"picked": picked, **chosen}
    return {
        run_name(trial): view.run_url(
            mirror.store.experiment_id, mirror.children[trial.spec.trial_id].run_id
        )
        for trial in chosen.values()
        if trial.spec.trial_id in mirror.children
    }
