"""Tracking of a search in MLflow that never delays or fails the search.

The run directory's journal has all data. If something could not be written, because the store was
broken, slow or absent, or because the driver was killed, a later call or process finds it missing
and writes it.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from search.records.trials import Trial
from search.tracking import closing, notes
from search.tracking.answer import Answer
from search.tracking.mirror import Mirror, SearchInfo
from search.tracking.open_store import failures, open_store
from search.tracking.patience import Patience
from search.tracking.ranks import BestSoFar
from search.tracking.store import DatasetInfo, Store, quotable
from search.tracking.trial_fields import Values
from search.verdict.schema import Verdict

if TYPE_CHECKING:
    from search.tracking.champion import Champion

__all__ = ["DatasetInfo", "Tracker"]

Result = TypeVar("Result")

_OPEN = "open the store"
_EXTRAS = {
    "set the saved view": closing.set_view,
    "name the dataset": Mirror.log_dataset,
}
"""Calls that other versions of MLflow may refuse, attempted apart from the runs' data."""


class Tracker:
    """A writer of one search to an MLflow store: a parent run, and one child run per trial.

    Only the driver makes one, before any worker starts. No method raises because of the store: the
    first failure is logged as a warning, and those not made up for are listed in `problems`.

    Args:
        uri: Address of a tracking store, or None for the embedded one in ``store_dir``.
        store_dir: Directory of ``mlflow.db`` and its artifacts; made if missing.
        experiment: Name of the experiment, made if missing.
        run_name: Name of the run directory; a name of the search unless ``open_search`` gets tags
            ``search_id`` and ``search``.
        told: Functions from a recipe to the values of its strengths.
        patience: Limits on the time that the store may cost.
        resume: Command that resumes the search, for its description.
    """

    def __init__(
        self,
        uri: str | None,
        *,
        store_dir: Path,
        experiment: str,
        run_name: str,
        told: Values | None = None,
        patience: Patience | None = None,
        resume: str = "",
    ) -> None:
        self._connect = partial(open_store, uri, store_dir=store_dir, experiment=experiment)
        self._run_name = run_name
        self._resume = resume
        self._told = told or Values()
        self._patience = patience or Patience(failures())
        # Whether a call failed that the store may nevertheless have carried out, or may do so yet.
        self._is_doubtful = False
        self._trials: dict[str, Trial] = {}
        # Trials that the store may lack data of, so that a report need not check all trials.
        self._behind: dict[str, Trial] = {}
        self._best = BestSoFar(self._told.metric)
        self._search: SearchInfo | None = None
        self._mirror: Mirror | None = None
        self._extras_were_tried = False
        self._missing_extras = set(_EXTRAS)
        # Importing MLflow and making a database are part of starting up, like importing torch.
        self._store: Store | None = self._patience.attempt(_OPEN, self._connect, free=True)

    @property
    def problems(self) -> list[str]:
        """Failures that left the store incomplete, one line each; empty if it holds everything."""
        return self._patience.problems

    def open_search(
        self, *, params: Mapping[str, str], tags: Mapping[str, str], dataset: DatasetInfo | None
    ) -> str:
        """Begin a search, or resume it if it is in the store; return the parent's run id.

        Args:
            params: Parameters of task, space, budget and reference.
            tags: Model, dataset, versions, commit. ``search_id`` is unique in the store, ``search``
                is the title; both default to the run's name.
            dataset: The data of the search, or None.

        Returns:
            The id, or an empty string while the store cannot be reached.
        """
        title = tags.get("search", self._run_name)
        search_id = quotable(tags.get("search_id", self._run_name))
        self._search = SearchInfo(
            run_name=self._run_name,
            params=params,
            tags={**tags, "search_id": search_id, "search": title},
            dataset=dataset,
            resume=self._resume,
        )
        self._extras_were_tried = False
        self._missing_extras = set(_EXTRAS)
        parent = None
        # Do not call a store again that has just failed after a long wait.
        if self._patience.is_due:
            parent = self._attempt(_OPEN, lambda mirror: mirror.parent)
            self._try_extras()
        return parent or ""

    def sync(self, trials: Iterable[Trial]) -> None:
        """Write the data of these and earlier trials that the store lacks, if a call is due."""
        for trial in trials:
            self._trials[trial.spec.trial_id] = self._behind[trial.spec.trial_id] = trial
            self._best.add(trial)
        self._catch_up()

    def trial_changed(self, trial: Trial) -> None:
        """Write the new data of a trial that started, reported or ended."""
        self.sync((trial,))

    def close_search(
        self,
        status: Literal["FINISHED", "KILLED", "FAILED"],
        *,
        verdict: Verdict | None,
        artifacts: Path | None,
        champion: "Champion | None" = None,
        answer: Answer | None = None,
    ) -> None:
        """Write all that the store lacks, then the verdict, and end the parent run.

        Args:
            status: Status with which the search ended; a killed one can be opened again.
            verdict: The verdict, or None.
            artifacts: Run directory whose files are copied, or None.
            champion: Model to log and register, or None.
            answer: Result of an ablation or contest, in place of a verdict.
        """
        if self._search is None:
            return  # Interrupted before it began.
        self._patience.last_chance()
        if self._is_doubtful:
            # Read from the store which of the failed calls were carried out.
            self._mirror, self._behind = None, dict(self._trials)
        self._catch_up(is_last=True)
        # Before calls that no version refuses, as three failures in a row start a pause.
        self._add_extras()
        trials = list(self._trials.values())
        self._attempt("end the interrupted trials", lambda mirror: mirror.interrupt(trials))
        self._attempt("log the ranks", lambda mirror: mirror.update_ranks(trials))
        self._attempt("log the places", lambda mirror: mirror.update_places(trials))
        upload = partial(closing.upload, run_dir=artifacts, verdict=verdict)
        files = self._attempt("copy the artifacts", upload)
        registered = None
        if champion is not None:
            register = partial(closing.register, champion=champion)
            registered = self._attempt("register the champion", register)
        publish = partial(
            closing.publish,
            status=status,
            verdict=verdict,
            trials=trials,
            run_dir=artifacts,
            files=files or [],
            champion=registered,
            answer=answer,
        )
        self._attempt("log the verdict", publish)
        if verdict is not None:
            said = notes.answer(verdict)
            describe = partial(closing.describe_experiment, answer=said)
            self._attempt("describe the experiment", describe)
        # Last, so that an ended run is complete except for `problems`.
        self._attempt("end the search", lambda mirror: mirror.close(status))

    def _catch_up(self, *, is_last: bool = False) -> None:
        tried: set[str] = set()
        # Repeated, because making a new mirror adds trials to those behind.
        while waiting := [name for name in self._behind if name not in tried]:
            for name in waiting:
                trial = self._trials[name]
                if self._mirror is None or self._mirror.lags(trial):
                    if not is_last and not self._patience.is_due:
                        return
                    tried.add(name)
                    self._attempt(_log(trial), partial(Mirror.update, trial=trial))
                if self._mirror is not None and not self._mirror.lags(trial):
                    self._behind.pop(name, None)
                    # A call that seemed to fail was carried out: only its answer was lost.
                    self._patience.solved(_log(trial))
        if is_last or (tried and self._patience.is_due):
            update_best = partial(Mirror.update_best, best=self._best.values)
            self._attempt("log the best so far", update_best)
        self._try_extras()

    def _try_extras(self) -> None:
        """Add the extras once the store is open; failed ones are not repeated at each report."""
        if self._mirror is not None and not self._extras_were_tried:
            self._extras_were_tried = True
            self._add_extras()

    def _add_extras(self) -> None:
        for what in sorted(self._missing_extras):
            self._attempt(what, _EXTRAS[what])
            # After a failure there is no mirror.
            if self._mirror is not None:
                self._missing_extras.discard(what)

    def _attempt(self, what: str, call: Callable[[Mirror], Result]) -> Result | None:
        """Call the store and handle its failures; all calls go through here."""
        if self._search is None:
            raise RuntimeError("`open_search` must come before anything is logged.")
        if self._patience.is_paused:
            return None
        search = self._search

        def with_mirror() -> Result:
            self._store = store = self._store or self._connect()
            mirror = self._mirror
            if mirror is None:
                mirror = Mirror(store, search, self._told)
                self._behind = dict(self._trials)
            self._patience.solved(_OPEN)
            # After a failure the state of the store is unknown, so the next call reads it again.
            self._mirror = None
            result = call(mirror)
            self._mirror = mirror
            return result

        result = self._patience.attempt(what, with_mirror)
        self._is_doubtful = self._is_doubtful or self._mirror is None
        return result


def _log(trial: Trial) -> str:
    return f"log {trial.spec.trial_id}"
