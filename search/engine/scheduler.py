"""A scheduler for Ray Tune that follows the conductor and improves Tune's use of workers.

The conductor makes all decisions, and the journal holds all state.
"""

import errno
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.engine.border import trial_id_of
from search.engine.conductor import Conductor
from search.engine.ray_private import keep_idle_workers, waiting_trials
from search.engine.searcher import NotPickled
from search.records.files import write_json
from search.records.trials import Record

log = logging.getLogger("search")


class ConductedScheduler(NotPickled, FIFOScheduler):
    """A scheduler that asks the conductor after each epoch whether a trial goes on.

    Args:
        conductor: The conductor.
        run_dir: Directory of the run, for the predictions on test images.
        num_own_workers: Function that returns the number of workers on the run's own cluster,
            which keeps them until the run ends; None on a shared cluster, where idle ones but one
            are ended.
    """

    def __init__(
        self,
        conductor: Conductor,
        run_dir: Path,
        *,
        num_own_workers: Callable[[], int] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._conductor = conductor
        self._predictions = run_dir / "predictions"
        self._num_own_workers = num_own_workers
        self._keeps_workers = False
        self._given_back: Counter[str] = Counter()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """With the first trial, make Tune keep all workers on the run's own cluster.

        Starting a new worker takes seconds, for importing torch.
        """
        if self._num_own_workers is not None and not self._keeps_workers:
            self._keeps_workers = True
            keep_idle_workers(tune_controller, trial, self._num_own_workers())

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Choose the first pending trial for which no worker is starting.

        Tune's FIFO scheduler chooses the first pending trial, searched among all trials of the run.
        Tune then gives it the next free worker and ends the one that is just starting for it, so
        that with short trials a newly joined node would never get work. If all pending trials have
        a starting worker, as at the end of a batch, Tune still does so.
        """
        return min(waiting_trials(tune_controller), key=self._number_of, default=None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record the epoch in the journal; return the conductor's answer, CONTINUE or STOP."""
        spec = self._conductor.trial(trial_id_of(trial)).spec
        prefix = "metrics/"  # Tune flattens nested reports.
        metrics = {
            sys.intern(k.removeprefix(prefix)): v for k, v in result.items() if k.startswith(prefix)
        }
        record = Record(
            trial_id=spec.trial_id,
            stage=spec.stage,
            epoch=result["epoch"],
            metrics=metrics,
            time=time.time(),
        )
        if result.get("node"):
            self._conductor.place(spec.trial_id, node=result["node"], host=result["hostname"])
        go_on: str = TrialScheduler.CONTINUE
        stop: str = TrialScheduler.STOP
        keys = ("correct", "nll", "raw_correct", "raw_nll")
        by_image = {key: text for key in keys if (text := result.get(f"by_image/{key}"))}
        if by_image:
            # Before the record, as the predictions must exist once the record does.
            self._predictions.mkdir(exist_ok=True)
            write_json(self._predictions / f"{spec.trial_id}.json", by_image)
        return go_on if self._conductor.report(record) else stop

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Record a trial that failed for good; Tune starts the others again.

        Raises:
            OSError: If it failed because a disk is full, as all others would.
        """
        if trial.status == Trial.ERROR:  # Tune will start it again itself.
            return
        trial_id = trial_id_of(trial)
        lines = Path(trial.error_file).read_text().splitlines() if trial.error_file else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if os.strerror(errno.ENOSPC) in last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"the checkpoint of {trial_id}")
        # Tune does not retry a trial whose reused worker cannot begin it, as happens when an idle
        # worker has died unnoticed.
        if trial.should_recover() and self._given_back[trial_id] < trial.max_failures:
            self._given_back[trial_id] += 1
            log.warning(
                "%s could not begin and is given out again: %s", trial_id, last or "its worker died"
            )
            self._conductor.again(trial_id)
            return
        log.error("%s failed for good:\n%s", trial_id, "\n".join(lines))
        self._conductor.failed(trial_id, last or "the worker died without a message")

    def _number_of(self, trial: Any) -> int:
        return self._conductor.trial(trial_id_of(trial)).spec.number
