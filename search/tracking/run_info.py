"""Connection of a run's configuration and plan to its tracker."""

from functools import partial
from pathlib import Path
from typing import Literal

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.command_line import make_command
from search.records.metrics import decided_by, metric_of
from search.records.provenance import made_with
from search.stages.standings import standings
from search.tracking.answer import KIND_TAG, STAGES_TAG
from search.tracking.background import BackgroundTracker
from search.tracking.open_store import failures, works_here
from search.tracking.patience import Costs, Patience
from search.tracking.tracker import DatasetInfo, Tracker
from search.tracking.trial_fields import Values
from spaces.recipe import Recipe

EXPERIMENT = "recipe-strengths"
"""Name of the MLflow experiment that holds all searches."""


def open_search(
    tracker: BackgroundTracker, config: RunConfig, plan: Plan, *, kind: str = ""
) -> None:
    """Begin or resume the parent run, with task, space, budget, reference and versions.

    Args:
        tracker: The tracker of the run.
        config: The run's settings.
        plan: The plan.
        kind: Kind of the run if it is no search, else empty.
    """
    data, recipe = plan.data, plan.reference
    held = plan.space.raw_of(recipe)
    tracker.open_search(
        params={
            "dataset": data.name,
            "model": recipe.model,
            "reference": config.reference,
            "metric": config.metric,
            "num_samples": str(config.num_samples),
            "patience": str(config.patience),
            "time_budget_s": str(config.time_budget_s),
            "seed": str(config.seed),
            **{f"reference.{name}": str(held[name]) for name in plan.space.names},
            **{
                f"space.{name}": " to ".join(f"{end:.6g}" for end in axis["raw"])
                for name, axis in plan.space.to_dict().items()
            },
            **{f"task.{name}": str(value) for name, value in plan.task.to_dict().items()},
        },
        tags={
            "search_id": config.search_id,
            "search": f"{recipe.model} on {data.name}, {config.run_name}",
            "model": recipe.model,
            "dataset": data.name,
            STAGES_TAG: ",".join(config.stages),
            **({KIND_TAG: kind} if kind else {}),
            **made_with(),
        },
        dataset=DatasetInfo(
            name=data.name,
            digest=data.digest,
            num_train=data.num_train,
            num_val=data.num_val,
            num_test=data.num_test,
        ),
    )


def make_tracker(config: RunConfig, plan: Plan, *, store_dir: Path) -> BackgroundTracker:
    """Make the tracker of a run; ``store_dir`` is the directory of the embedded store."""

    def positions(recipe: Recipe) -> dict[str, float]:
        return plan.space.encode(plan.space.raw_of(recipe), clamped=True)

    uri = config.tracking_uri
    tracker = Tracker(
        uri,
        store_dir=store_dir,
        experiment=EXPERIMENT,
        run_name=config.run_name,
        told=Values(
            names=plan.space.names,
            raw=plan.space.raw_of,
            effective=plan.effective_values,
            positions=positions,
            metric=decided_by(config.metric),
            searched_by=metric_of(config.metric),
            standings=partial(
                standings,
                top=config.rerun_top,
                metric=config.metric,
                num_val=plan.data.num_val,
            ),
        ),
        patience=Patience(failures(), costs=costs_of(uri)),
        # With an absolute path, as it is read in a browser, without the working directory.
        resume=make_command("resume", RUN=config.path),
    )
    return BackgroundTracker(tracker)


def costs_of(uri: str | None) -> Costs:
    """Return the rule for the cost of calls to a store that a second thread makes."""
    of_successes: Literal["wall", "computed"] = "wall" if works_here(uri) else "computed"
    return Costs(of_failures="computed", of_successes=of_successes)
