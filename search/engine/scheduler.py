"""Asks the conductor after each epoch, and mends how Ray Tune uses and ends its workers.

Every decision is the conductor's, and every fact lies in the journal.
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
    """Asks the conductor after each epoch whether a trial goes on.

    Args:
        conductor: Decides.
        run_dir: Where predictions on the test images are kept.
        num_own_workers: Asked once for the number of workers on a cluster that is the run's own,
            where they stay until it ends; None on a shared cluster, where all but one go whenever
            there is nothing to do for them.
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
        """With the first trial, tell Tune to keep as many idle workers as there may be.

        A new worker imports torch for seconds.
        """
        if self._num_own_workers is not None and not self._keeps_workers:
            self._keeps_workers = True
            keep_idle_workers(tune_controller, trial, self._num_own_workers())

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first pending trial for which no worker is starting.

        FIFO's is the first of all, looked for among all that ever were. Tune gives it the next free
        worker and ends the one that is starting for it, seconds of imports old, so that with short
        trials a node that joined never came to work. Where this finds none, Tune still does so: at
        the end of a batch.
        """
        return min(waiting_trials(tune_controller), key=self._number_of, default=None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Journal the epoch and answer CONTINUE or STOP, also at full length."""
        spec = self._conductor.trial(trial_id_of(trial)).spec
        prefix = "metrics/"  # Tune flattens what a trial reports.
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
            # Before the record: what a record stands for must be there when it is read.
            self._predictions.mkdir(exist_ok=True)
            write_json(self._predictions / f"{spec.trial_id}.json", by_image)
        return go_on if self._conductor.report(record) else stop

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note a trial that failed more often than it may; the others are started again.

        Raises:
            OSError: If it failed because a disk is full: so would all others.
        """
        if trial.status == Trial.ERROR:  # Until Tune starts it again itself, which it will.
            return
        trial_id = trial_id_of(trial)
        lines = Path(trial.error_file).read_text().splitlines() if trial.error_file else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if os.strerror(errno.ENOSPC) in last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"the checkpoint of {trial_id}")
        # Tune gives up at once on a trial that a worker which had another before cannot begin, and
        # nobody notices that an idle worker died before it is to begin one.
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
