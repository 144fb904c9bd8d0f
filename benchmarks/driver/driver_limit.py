"""Decisions of the driver per second, by replay, and the number of workers it can serve.

    python -m benchmarks.driver.driver_limit --trials 5000 --workers 1000

The search stage as a run has it, with conductor, journal, proposer and rungs, on a clock that does
not wait: reports come one after the other as those of that many workers would, and each call is
timed. Ray, whose cost per report `benchmarks.driver.many_trials` shows, is left out.

A worker trains an epoch in some seconds and a trial for some epochs; the driver is busy for a
report each epoch, and for an end and a proposal each trial. Where that adds up to a second each
second is the limit.
"""

import argparse
import heapq
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.driver.toy_trainable import toy_top1
from search.engine.conductor import Conductor, Wait
from search.plan.config import RunConfig
from search.plan.plan import DataFacts, Plan
from search.records.journal import Journal
from search.records.trials import Record, Trial
from search.stages.sequence import stage_makers
from spaces.anchors import anchors
from spaces.recipe import Recipe
from spaces.space import Space
from spaces.task import Task

Result = TypeVar("Result")

EPOCHS_S = (1.0, 10.0, 60.0)
"""Seconds of an epoch for which the limit is told."""
NUM_PARTS = 5


@dataclass(kw_only=True)
class Timed:
    """Seconds of calls of one kind, in order, and the trials that there were."""

    seconds: list[float] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)

    def call(self, num_trials: int, function: Callable[[], Result]) -> Result:
        """Call and note how long it took."""
        started = time.perf_counter()
        result = function()
        self.seconds.append(time.perf_counter() - started)
        self.trials.append(num_trials)
        return result

    def mean_ms(self, first: int, last: int) -> float:
        """Mean over the calls that were made while there were ``first`` to ``last`` trials."""
        trials = np.asarray(self.trials)
        chosen = np.asarray(self.seconds)[(trials >= first) & (trials < last)]
        return 1e3 * float(chosen.mean()) if len(chosen) else float("nan")


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Calls of one replay, by kind."""

    proposals: Timed
    reports: Timed
    ends: Timed


def metrics(trial: Trial, epoch: int) -> dict[str, float]:
    """As many as a real epoch reports."""
    recipe = trial.spec.recipe
    top1 = toy_top1(dict(recipe.strengths.as_dict()), recipe.seed) * (1.0 - np.exp(-0.4 * epoch))
    values = {"top1": top1, "nll": 1.0 - top1, "nll_refined": 1.0 - top1}
    parts = ("val", "val_raw", "val_ema", "clean_train")
    return {f"{part}/{key}": float(v) for part in parts for key, v in values.items()} | {
        "train/loss": 1.0,
        "cost/train_s": 1.0,
    }


def searched(run_dir: Path, num_trials: int) -> tuple[RunConfig, Plan]:
    """A search of ten epochs on 300 digits that is planned and never trained."""
    config = RunConfig(
        dataset="digits",
        run_dir=str(run_dir),
        run_name="r1",
        data_dir="d",
        created="",
        stages=("search",),
        num_samples=num_trials,
        rerun_top=0,
    )
    names = tuple(str(digit) for digit in range(10))
    reference = Recipe(epochs=10, pretrained=True)
    task = Task.of(reference, num_train=300, num_classes=len(names), num_blocks=9)
    facts = DataFacts(
        name="digits", digest="", num_train=300, num_val=100, num_test=500, class_names=names
    )
    plan = Plan(
        data=facts,
        task=task,
        anchors=anchors(reference, task),
        candidate=None,
        space=Space.for_task(task),
        eval_epochs=(2, 5, 10),
        rungs=(5,),
        notes=(),
    )
    return config, plan


def replayed(run_dir: Path, num_trials: int, num_workers: int) -> Replayed:
    """A search with that many trials and workers; an epoch is one unit of the simulated clock."""
    config, plan = searched(run_dir, num_trials)
    config.path.mkdir(parents=True)
    journal = Journal(config.path)
    journal.begin_session(num_cores=num_workers, cores_per_trial=1)
    stages = stage_makers(config, plan, journal, deadline=None)
    conductor = Conductor(journal, stages)
    proposals, reports, ends = Timed(), Timed(), Timed()
    running: list[tuple[float, int, str]] = []
    now, order = 0.0, 0
    while not conductor.is_over:
        while len(running) < num_workers:
            known = len(journal.trials)
            answer = proposals.call(known, conductor.next_trial)
            if isinstance(answer, Wait):
                proposals.seconds.pop()
                proposals.trials.pop()
                break
            order += 1
            # Workers are not in step with each other.
            heapq.heappush(running, (now + 1.0 + order % 97 / 97, order, answer.spec.trial_id))
        if not running:
            continue
        now, place, trial_id = heapq.heappop(running)
        trial = conductor.trial(trial_id)
        record = Record(
            trial_id=trial_id,
            stage="search",
            epoch=trial.epoch + 1,
            metrics=metrics(trial, trial.epoch + 1),
            time=now,
        )
        known = len(journal.trials)
        started = time.perf_counter()
        goes_on = conductor.report(record)
        kind = reports if goes_on else ends
        kind.seconds.append(time.perf_counter() - started)
        kind.trials.append(known)
        if goes_on:
            heapq.heappush(running, (now + 1.0, place, trial_id))
    journal.close()
    return Replayed(proposals=proposals, reports=reports, ends=ends)


def tell(found: Replayed, num_trials: int) -> list[str]:
    """Tables of what a call costs and of how many workers that serves."""
    lines = ["| trials so far | a proposal, ms | a report, ms | an end, ms |"]
    lines.append("| --- | --: | --: | --: |")
    edges = np.linspace(0, num_trials, NUM_PARTS + 1).astype(int)
    for first, last in zip(edges[:-1], edges[1:] + (edges[1:] == num_trials), strict=True):
        means = (timed.mean_ms(first, last) for timed in _kinds(found))
        lines.append(f"| {first} to {last} | " + " | ".join(f"{m:.2f}" for m in means) + " |")
    per_trial = (len(found.reports.seconds) + len(found.ends.seconds)) / len(found.ends.seconds)
    proposal, report, end = (t.mean_ms(edges[-2], num_trials + 1) / 1e3 for t in _kinds(found))
    busy_s = proposal + end + (per_trial - 1) * report
    lines += ["", f"{per_trial:.1f} epochs a trial; the driver is busy {1e3 * busy_s:.1f} ms each"]
    for epoch_s in EPOCHS_S:
        limit = per_trial * epoch_s / busy_s
        lines.append(f"epochs of {epoch_s:.0f} s: {limit:,.0f} workers keep the driver busy")
    return lines


def _kinds(found: Replayed) -> Sequence[Timed]:
    return found.proposals, found.reports, found.ends


def main() -> None:
    parser = argparse.ArgumentParser(description="Decisions of the driver in a second.")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = replayed(Path(scratch), given.trials, given.workers)
    print(f"{given.trials} trials, {given.workers} workers, load {os.getloadavg()[0]:.1f}\n")
    print("\n".join(tell(found, given.trials)))


if __name__ == "__main__":
    main()
