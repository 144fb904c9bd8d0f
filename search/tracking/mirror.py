"""One search as a tracking store holds it, and how to bring it up to date with the journal.

Nothing here is remembered beyond what can be found again in the store, so a mirror may be thrown
away after any failure and made again: that creates nothing twice and leaves no hole.
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
"""What hardly an epoch lacks: to ask for the history of each metric takes a dozen calls a run."""
_COPIED_TAGS = ("search_id", "search", "dataset", "model")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchInfo:
    """What is said of a search once, when it begins.

    Attributes:
        run_name: Name of the parent run.
        params: Task, space, budget and reference.
        tags: Hold ``search_id``, by which the search is found again, and ``search``, its title.
        dataset: The data, or None if it has no identity.
        resume: The command that goes on with it.
    """

    run_name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset: DatasetInfo | None
    resume: str = ""

    @property
    def search_id(self) -> str:
        """What no other search in the store has."""
        return self.tags["search_id"]

    @property
    def title(self) -> str:
        """What people call it."""
        return self.tags["search"]


@dataclass(kw_only=True, slots=True)
class Child:
    """How far the run of one trial has got in the store."""

    run_id: str
    status: str
    outcome: str
    epoch: int
    has_params: bool
    has_live: bool
    has_final: bool
    colour: str
    rank: float | None


class Mirror:
    """Finds the runs of a search by tag, or makes them, and writes what they lack.

    Args:
        store: Where to write.
        info: What is said of the search once.
        told: What is told of the strengths of each run.

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
        # It may have been deleted since the store was opened, and a search in it finds nothing.
        store.require_active()
        self.parent = self._open_parent()
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
        """Whether the store knows less of the trial than ``trial`` does."""
        child = self.children.get(trial.spec.trial_id)
        return (
            child is None
            or child.epoch < trial.epoch
            or child.outcome != trial.status
            or child.status != trial_fields.RUN_STATUS[trial.status]
        )

    def update(self, trial: Trial) -> None:
        """Create the trial's run if it is missing, log new epochs, end or reopen it."""
        child = self.children.get(trial.spec.trial_id) or self._create(trial)
        status = trial_fields.RUN_STATUS[trial.status]
        if status == "RUNNING" and child.status != status:
            self.store.reopen_run(child.run_id)
            child.status = status
        metrics = list(trial_fields.points(trial, after=child.epoch))
        if not child.has_final:
            metrics += trial_fields.final_point(trial, self.told.metric)
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
        """End the runs of trials that the journal calls running while nothing runs any more."""
        for trial in trials:
            child = self.children.get(trial.spec.trial_id)
            if trial.status == "running" and child is not None and child.status == "RUNNING":
                self.store.log(child.run_id, tags={"outcome": "interrupted"})
                self.store.end_run(child.run_id, "KILLED")
                child.status, child.outcome = "KILLED", "interrupted"

    def update_best(self, best: Sequence[float]) -> None:
        """Log the best value so far over the number of the trial, as soon as there is one."""
        rows = [
            Point(name=self._best_name, value=best[number], step=number)
            for number in range(self._num_best, len(best))
            if math.isfinite(best[number])
        ]
        if rows:
            self.store.log(self.parent, metrics=rows)
            self._num_best = len(best)

    def summarise(self, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Write what is said of the whole search; a metric that has its value already is left."""
        new = {k: v for k, v in metrics.items() if self._parent_metrics.get(k) != v}
        rows = [Point(name=name, value=value, step=0) for name, value in new.items()]
        self.store.log(self.parent, metrics=rows, tags=tags)
        self._parent_metrics |= new

    def update_ranks(self, trials: Collection[Trial]) -> None:
        """Log each search trial's rank where it stopped, and colour full-length ones by result."""
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

    def log_dataset(self) -> None:
        """Name the dataset as an input of the parent run, if it has an identity."""
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
        """The run of each trial; an empty one that was made twice is deleted.

        A request to make a run that was given up may be carried out later, after it was sent again:
        a server that hung works off what it had taken in. Such a run is empty. Runs that a person
        put under the search belong to no trial and are left alone.
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
        )
        self.children[trial.spec.trial_id] = child
        return child

    def _child(self, run: FoundRun) -> Child:
        outcome = run.tags.get("outcome", "")
        has_ended = run.status != "RUNNING" and run.status == trial_fields.RUN_STATUS.get(outcome)
        if has_ended and "epochs" in run.tags:
            epoch = int(run.tags["epochs"])
        else:
            # A crash or a time-out may have come between the metrics and all that follows them.
            # The last epoch that is there is written again: it may have been cut in two.
            keys = [_EACH_EPOCH] if _EACH_EPOCH in run.metrics else run.metrics
            epoch = max(0, self.store.last_step(run.run_id, keys) - 1)
        return Child(
            run_id=run.run_id,
            status=run.status,
            outcome=outcome,
            epoch=epoch,
            has_params=bool(run.params),
            has_live=any(name.startswith("live.") for name in run.params),
            has_final=final_name(self.told.metric) in run.metrics,
            colour=run.tags.get("mlflow.runColor", ""),
            rank=run.metrics.get(RANK_METRIC),
        )


def _fullest(runs: Iterable[FoundRun]) -> list[FoundRun]:
    """Those that hold most first; among equals the order stays."""
    return sorted(runs, key=lambda run: (not run.params, -len(run.metrics)))
