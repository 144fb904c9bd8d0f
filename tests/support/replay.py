"""A trainer that reads its learning curves off a formula: real stages, no training, no Ray."""

import heapq
import math
from collections.abc import Callable, Mapping

from search.engine.conductor import Conductor, Wait
from search.records.trials import Record, Trial

Curve = Callable[[Trial, int], Mapping[str, float]]


def replay(
    conductor: Conductor,
    curve: Curve,
    *,
    num_workers: int = 1,
    max_events: int = 10**9,
    first_epoch: Callable[[Trial], int] = lambda trial: trial.epoch + 1,
) -> int:
    """Run a conductor on a simulated clock, one epoch a second.

    Args:
        conductor: Decides what runs.
        curve: Metrics of a trial after an epoch.
        num_workers: Trials that run at once.
        max_events: Reports after which the process is "killed".
        first_epoch: The epoch with which a trial begins; earlier ones repeat what is known, as
            after a checkpoint that is older than the newest report.

    Returns:
        Number of reports that were made.
    """
    running: list[tuple[float, int, Trial, int]] = []
    now, num_reports, order = 0.0, 0, 0
    while num_reports < max_events:
        while len(running) < num_workers:
            answer = conductor.next_trial()
            if isinstance(answer, Wait):
                if answer is Wait.NO_MORE and not running:
                    return num_reports
                break
            order += 1
            heapq.heappush(running, (now + 1.0, order, answer, first_epoch(answer)))
        now, place, trial, epoch = heapq.heappop(running)
        record = Record(
            trial_id=trial.spec.trial_id,
            stage=trial.spec.stage,
            epoch=epoch,
            metrics=curve(trial, epoch),
            time=now,
        )
        num_reports += 1
        if conductor.report(record):
            trial = conductor.trial(trial.spec.trial_id)
            heapq.heappush(running, (now + 1.0, place, trial, epoch + 1))
    return num_reports


def saturating(quality: float, speed: float, epoch: int) -> Mapping[str, float]:
    """A curve that approaches ``quality`` at ``speed`` per epoch, the same on every metric."""
    top1 = quality * (1.0 - math.exp(-speed * epoch))
    return {
        "val/top1": top1,
        "val/nll": 1.0 - top1,
        "val/nll_refined": 1.0 - top1,
        "clean_train/top1": top1,
        "clean_train/nll": 1.0 - top1,
        "train/loss": 1.0 - top1,
    }
