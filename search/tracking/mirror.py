"""The runs of one search in a tracking store, and how they are brought up to date.

All state can be read again from the store, so a mirror may be discarded after any failure and made
anew: nothing is created twice and nothing is left out.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.records.trials import Trial
from search.tracking import notes, trial_fields
from search.tracking.answer import KIND_TAG
from search.tracking.metric_keys import RANK_METRIC, final_name, search_best_name
from search.tracking.ranks import rank_at_stop, rank_colours
from search.tracking.store import DatasetInfo, FoundRun, Point, Store
from search.tracking.view import chart_url

_EACH_EPOCH = "train/loss"
"""Metric that nearly every epoch reports, whose history tells the last epoch logged.

Asking for the history of every metric would take a dozen calls per run.
"""
_COPIED_TAGS = ("search_id", "search", "dataset", "model")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchInfo:
    """Description of a search, written once when it begins.

    Attributes:
        run_name: Name of the parent run.
        params: Parameters of task, space, budget and reference.
        tags: Tags, with ``search_id``, by which the search is found again, and ``search``, its
            title.
        dataset: The data, or None if it has no identity.
        resume: Command that resumes it.
    """

    run_name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset: DatasetInfo | None
    resume: str = ""

    @property
    def search_id(self) -> str:
        """Identifier that is unique in the store."""
        return self.tags["search_id"]

    @property
    def title(self) -> str:
        """Title for people."""
        return self.tags["search"]


@dataclass(kw_only=True, slots=True)
class Child:
    """State of one trial's run in the store: what is logged of it so far."""

    run_id: str
    status: str
    outcome: str
    epoch: int
    has_params: bool
    has_live: bool
    has_final: bool
    colour: str
    rank: float | None
    place: Mapping[str, str]


class Mirror:
    """The runs of a search in the store, found by tag or created, with methods that update them.

    Args:
        store: Store to write to.
        info: Description of the search.
        told: Functions from a recipe to the values of its strengths.

    Attributes:
        store: As given.
        info: As given.
        told: As given.
        parent: Id of the parent run.
        children: Runs of the trials, by `TrialSpec.trial_id`.
    """

    def __init__(self, store: Store, info: SearchInfo, told: trial_fields.Values) -> None:
        self.store = store
        self.info = info
        self.told = told
        self._parent_metrics: dict[str, float] = {}
        # The experiment may have been deleted meanwhile, and a query in it would find nothing.
        store.require_active()
        self.parent = self._open_parent()
        self._finals = tuple(dict.fromkeys((told.searched_by, told.metric)))
        self._num_best = 0
        self._best_name = search_best_name(told.metric)
        if self._best_name in self._parent_metrics:
            self._num_best = 1 + store.last_step(self.parent, [self._best_name])
        self.children: dict[str, Child] = {}
        query = f"tags.`mlflow.parentRunId` = '{self.parent}'"
        for name, run in self._one_each(store.find_runs(query)).items():
            self.children[name] = self._child(run)
            if run.tags.get("search") != info.title:  # The run directory was renamed.
                store.log(run.run_id, tags={"search": info.title})

    def lags(self, trial: Trial) -> bool:
        """Whether the store lacks epochs or the status of the trial."""
        child = self.children.get(trial.spec.trial_id)
        return (
            child is None
            or child.epoch < trial.epoch
            or child.outcome != trial.status
            or child.status != trial_fields.RUN_STATUS[trial.status]
        )

    def update(self, trial: Trial) -> None:
        """Create the trial's run if it is missing, log its new epochs, and end or reopen it."""
        child = self.children.get(trial.spec.trial_id) or self._create(trial)
        status = trial_fields.RUN_STATUS[trial.status]
        if status == "RUNNING" and child.status != status:
            self.store.reopen_run(child.run_id)
            child.status = status
        metrics = list(trial_fields.points(trial, after=child.epoch, metric=self.told.metric))
        if not child.has_final:
            metrics += trial_fields.final_points(trial, self._finals)
        params: Mapping[str, str] = {}
        if not child.has_params:
            params = trial_fields.params(trial, self.told)
        live: dict[str, str] = {}
        if trial.records and not child.has_live:
            live = trial_fields.live_params(trial.records[0].metrics, self.told.names)
        tags = trial_fields.state_tags(trial) if child.outcome != trial.status else {}
        self.store.log(child.run_id, metrics=metrics, params={**params, **live}, tags=tags)
        child.has_live = child.has_live or bool(live)
        child.epoch, child.has_params, child.outcome = trial.epoch, True, trial.status
        child.colour = tags.get("mlflow.runColor", child.colour)
        child.has_final = child.has_final or trial.is_full_length
        if child.status != status:
            # Last, so that a run with a final status lacks nothing.
            self.store.end_run(child.run_id, status, end=trial_fields.end_time(trial))
            child.status = status

    def interrupt(self, trials: Iterable[Trial]) -> None:
        """End the runs of trials that are still marked as running when the search has ended."""
        for trial in trials:
            child = self.children.get(trial.spec.trial_id)
            if trial.status == "running" and child is not None and child.status == "RUNNING":
                self.store.log(child.run_id, tags={"outcome": "interrupted"})
                self.store.end_run(child.run_id, "KILLED")
                child.status, child.outcome = "KILLED", "interrupted"

    def update_best(self, best: Sequence[float]) -> None:
        """Log the best value after each trial, with the trial's number as step."""
        rows = [
            Point(name=self._best_name, value=best[number], step=number)
            for number in range(self._num_best, len(best))
            if math.isfinite(best[number])
        ]
        if rows:
            self.store.log(self.parent, metrics=rows)
            self._num_best = len(best)

    def summarise(self, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log metrics and tags on the parent run; metrics with an unchanged value are left out."""
        new = {k: v for k, v in metrics.items() if self._parent_metrics.get(k) != v}
        rows = [Point(name=name, value=value, step=0) for name, value in new.items()]
        self.store.log(self.parent, metrics=rows, tags=tags)
        self._parent_metrics |= new

    def update_ranks(self, trials: Collection[Trial]) -> None:
        """Log each search trial's rank at its last epoch, and colour full-length ones by it."""
        colours = rank_colours(trials, self.told.metric)
        ranks = rank_at_stop(list(trials), self.told.metric)
        for trial in trials:
            name = trial.spec.trial_id
            child = self.children.get(name)
            if child is None or name not in ranks:
                continue
            rows, tags = [], {}
            if child.rank != ranks[name]:
                rows = [Point(name=RANK_METRIC, value=ranks[name], step=trial.epoch)]
            if name in colours and child.colour != colours[name]:
                tags = {"mlflow.runColor": colours[name]}
            self.store.log(child.run_id, metrics=rows, tags=tags)
            child.rank, child.colour = ranks[name], colours.get(name, child.colour)

    def update_places(self, trials: Sequence[Trial]) -> None:
        """Tag each recipe that ran to the end with its place, and the pick as such.

        A run of an older version may lack final values, by which the view is sorted.
        """
        for one in self.told.standings(trials):
            child = self.children.get(one.trial.spec.trial_id)
            tags = trial_fields.place_tags(one, self.told.searched_by)
            if child is None or (child.place == tags and child.has_final):
                continue
            finals = [] if child.has_final else trial_fields.final_points(one.trial, self._finals)
            self.store.log(child.run_id, metrics=finals, tags=tags)
            child.place, child.has_final = tags, True

    def log_dataset(self) -> None:
        """Log the dataset as an input of the parent run, if there is one."""
        if self.info.dataset is not None:
            self.store.log_dataset(self.parent, self.info.dataset)

    def close(self, status: str) -> None:
        """End the parent run."""
        self.store.end_run(self.parent, status)

    def _open_parent(self) -> str:
        info, store = self.info, self.store
        note = notes.open_note(
            info.title,
            "running",
            charts=chart_url(store.experiment_id, info.search_id),
            kind=info.tags.get(KIND_TAG, ""),
            resume=info.resume,
        )
        query = f"tags.search_id = '{info.search_id}' and tags.role = 'search'"
        found = _fullest(store.find_runs(query))
        if found:
            run, *empty = found
            for late in empty:
                if not late.params:
                    store.delete_run(late.run_id)
            run_id, known = run.run_id, run.params
            self._parent_metrics = dict(run.metrics)
            tags = dict(info.tags)
            if run.tags.get("search") != info.title:
                # The run directory was renamed; else the name may be one that a person gave.
                tags["mlflow.runName"] = info.run_name
            if run.status != "RUNNING":
                store.reopen_run(run_id)
                tags["mlflow.note.content"] = note
        else:
            look = {"role": "search", "mlflow.runColor": trial_fields.PARENT_COLOUR}
            run_id = store.create_run(
                info.run_name, {**info.tags, **look, "mlflow.note.content": note}
            )
            known, tags = {}, {}
        missing = {name: value for name, value in info.params.items() if name not in known}
        store.log(run_id, params=missing, tags=tags)
        return run_id

    def _one_each(self, runs: Iterable[FoundRun]) -> dict[str, FoundRun]:
        """Return one run per trial; an empty duplicate is deleted.

        If a request to create a run times out and is sent again, a server that hung may carry out
        both. The duplicate is empty. Runs that a person added under the search belong to no trial
        and are left alone.
        """
        found: dict[str, FoundRun] = {}
        for run in _fullest(run for run in runs if run.tags.get("trial_id")):
            name = run.tags["trial_id"]
            if name not in found:
                found[name] = run
            elif not run.params and not run.metrics:
                self.store.delete_run(run.run_id)
        return found

    def _create(self, trial: Trial) -> Child:
        tags = {key: self.info.tags[key] for key in _COPIED_TAGS if key in self.info.tags}
        tags |= trial_fields.tags(trial) | {"mlflow.parentRunId": self.parent, "outcome": "running"}
        start = trial_fields.start_time(trial)
        run_id = self.store.create_run(trial_fields.run_name(trial), tags, start=start)
        child = Child(
            run_id=run_id,
            status="RUNNING",
            outcome="running",
            epoch=0,
            has_params=False,
            has_live=False,
            has_final=False,
            colour=tags["mlflow.runColor"],
            rank=None,
            place={},
        )
        self.children[trial.spec.trial_id] = child
        return child

    def _child(self, run: FoundRun) -> Child:
        outcome = run.tags.get("outcome", "")
        has_ended = run.status != "RUNNING" and run.status == trial_fields.RUN_STATUS.get(outcome)
        if has_ended and "epochs" in run.tags:
            epoch = int(run.tags["epochs"])
        else:
            # A crash or time-out may have come between the metrics and the tags after them. The
            # last epoch in the store is written again, as it may be incomplete.
            keys = [_EACH_EPOCH] if _EACH_EPOCH in run.metrics else run.metrics
            epoch = max(0, self.store.last_step(run.run_id, keys) - 1)
        return Child(
            run_id=run.run_id,
            status=run.status,
            outcome=outcome,
            epoch=epoch,
            has_params=bool(run.params),
            has_live=any(name.startswith("live.") for name in run.params),
            has_final=all(final_name(metric) in run.metrics for metric in self._finals),
            colour=run.tags.get("mlflow.runColor", ""),
            rank=run.metrics.get(RANK_METRIC),
            place={key: run.tags[key] for key in trial_fields.PLACE_TAGS if key in run.tags},
        )


def _fullest(runs: Iterable[FoundRun]) -> list[FoundRun]:
    """Sort runs by the amount of data in them, most first; the sort is stable."""
    return sorted(runs, key=lambda run: (not run.params, -len(run.metrics)))
