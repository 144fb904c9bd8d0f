"""A scheduler for Ray Tune that follows the conductor and improves Tune's use of workers.

The conductor makes all decisions, and the journal holds all state.
"""

import errno
import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.engine.border import trial_id_of
from search.engine.conductor import Conductor
from search.engine.ray_private import (
    end_for_good,
    keep_idle_workers,
    waiting_trials,
    workers_of_trials,
)
from search.engine.searcher import NotPickled
from search.engine.silence import Silence
from search.records.files import write_json
from search.records.trials import Record

log = logging.getLogger("search")
LOOKED_EVERY_S = 0.5
"""Seconds between two looks at the workers."""
LATE_GRACE_S = 10.0
"""Seconds after its deadline in which a trial may still report, about what a new worker costs."""
WAITED_S = 30.0
"""Seconds that nothing may run before the user is told what is waited for."""


class ConductedScheduler(NotPickled, FIFOScheduler):
    """A scheduler that asks the conductor after each epoch whether a trial goes on.

    Args:
        conductor: The conductor.
        run_dir: Directory of the run, for the predictions on test images.
        num_own_workers: Function that returns the number of workers on the run's own cluster,
            which keeps them until the run ends; None on a shared cluster, where idle ones but one
            are ended.
        silence: Record of when each worker reported last.
        say: Function that prints a line for the user, of what takes longer than it should.
    """

    def __init__(
        self,
        conductor: Conductor,
        run_dir: Path,
        *,
        num_own_workers: Callable[[], int] | None = None,
        silence: Silence | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._silence = silence or Silence(timeout_s=None, run_s=None)
        self._say = say
        self._controller: Any = None
        self._hung: dict[str, str] = {}
        self._late_since: dict[str, float] = {}
        self._idle_since: float | None = None
        self._looked_at = -math.inf
        self._conductor = conductor
        self._predictions = run_dir / "predictions"
        self._num_own_workers = num_own_workers
        self._keeps_workers = False
        self._given_back: Counter[str] = Counter()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """With the first trial, make Tune keep all workers on the run's own cluster.

        Starting a new worker takes seconds, for importing torch.
        """
        self._controller = tune_controller
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
        self._silence.heard(spec.trial_id)
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
        part = "by_image/"
        by_image = {k.removeprefix(part): v for k, v in result.items() if k.startswith(part) and v}
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
        trial_id = trial_id_of(trial)
        hung = self._hung.pop(trial_id, "")
        if trial.status == Trial.ERROR:  # Tune will start it again itself.
            return
        if self._conductor.trial(trial_id).status == "stopped":
            return  # Its time was up, and so its worker was ended.
        lines = Path(trial.error_file).read_text().splitlines() if trial.error_file else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        last = hung or last
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

    def look(self) -> None:
        """End workers that hang or whose trial is out of time, and tell what is waited for.

        To be called several times a second, as no report triggers any of this.
        """
        now = time.monotonic()
        if self._controller is None or now - self._looked_at < LOOKED_EVERY_S:
            return
        self._looked_at = now
        self._conductor.tick()
        workers = {trial_id_of(t): (t, w) for t, w in workers_of_trials(self._controller)}
        training = {name for name, (trial, _) in workers.items() if trial.status == Trial.RUNNING}
        self._silence.work(training, starting=workers.keys() - training)
        for trial_id, silent_s in self._silence.too_long().items():
            self._end_hung(trial_id, workers[trial_id][1], silent_s)
        late = [trial_id for trial_id in self._conductor.late() if trial_id in workers]
        self._late_since = {name: self._late_since.get(name, now) for name in late}
        for trial_id, since in self._late_since.items():
            # A report that is about to come spares a new worker its imports.
            if now - since > LATE_GRACE_S:
                trial, worker = workers[trial_id]
                self._conductor.stop(trial_id)
                end_for_good(trial)
                ray.kill(worker)
        self._tell_of_waiting(bool(workers), now)

    def _end_hung(self, trial_id: str, worker: Any, silent_s: float) -> None:
        reason = (
            f"its worker reported nothing for {silent_s:.0f} s, after which it counts as hung "
            "(--hang-timeout-s)"
        )
        told = f"{trial_id} is taken from its worker: {reason}."
        self._say(told)
        log.warning(told)
        self._hung[trial_id] = reason
        self._silence.restart(trial_id)
        ray.kill(worker)

    def _tell_of_waiting(self, has_workers: bool, now: float) -> None:
        """Print once what is waited for, if nothing has run for long."""
        waiting = [] if has_workers else waiting_trials(self._controller)
        if not waiting:
            self._idle_since = None
            return
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since > WAITED_S:
            self._idle_since = math.inf  # Said.
            wants = waiting[0].placement_group_factory.required_resources
            has = ray.cluster_resources()  # type: ignore[no-untyped-call]
            free = ray.available_resources()  # type: ignore[no-untyped-call]
            rooms = [
                f"{wants[kind]:g} {kind} ({free.get(kind, 0):g} of {has.get(kind, 0):g} are free)"
                for kind in ("CPU", "GPU")
                if wants.get(kind)
            ]
            self._say(
                f"Waiting for room on the cluster: {trial_id_of(waiting[0])} needs "
                f"{' and '.join(rooms)} on one node. Ctrl-C stops the run and says how to go on "
                "with it later."
            )

    def _number_of(self, trial: Any) -> int:
        return self._conductor.trial(trial_id_of(trial)).spec.number
