"""A search of thousands of trials, tracked by a server over PostgreSQL that stops and hangs.

    python -m benchmarks.driver.tracking_scale --children 2000 --epochs 50 --away 60

A driver's real conductor and journal are fed with the reports of a thousand workers at a steady
pace, twice: without tracking and with it. A third of the way the server is killed and stays away,
two thirds of the way it hangs; both times it comes back. Each of the driver's steps is timed, so
that what tracking takes from it shows whatever the pace is. In the end every run and every point in
the database is counted.

PostgreSQL is the system's, as it comes: each commit waits for the disk.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.driver.mlflow_server import MlflowServer, postgres, postgres_binaries
from search.engine.conductor import Conductor, Wait
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec
from search.stages.listed_stage import ListedStage
from search.tracking.background import BackgroundTracker
from search.tracking.open_store import failures
from search.tracking.patience import Patience
from search.tracking.run_info import costs_of
from search.tracking.tracker import DatasetInfo, Tracker
from search.tracking.trial_fields import points
from spaces.recipe import Recipe

_DATASET = DatasetInfo(name="digits", digest="0" * 32, num_train=300, num_val=200, num_test=1197)
_NAME = "scale"


@dataclass(frozen=True, kw_only=True, slots=True)
class Driven:
    """The trials and times of a driven search.

    Attributes:
        trials: Trials in their final state.
        seconds: Seconds of each step: a start, a report or an end, journal included.
        wall_s: Seconds from the first to the last.
        late_s: Most seconds by which a report was handled later than it came.
    """

    trials: dict[str, Trial]
    seconds: np.ndarray
    wall_s: float
    late_s: float


def metrics(epoch: int) -> dict[str, float]:
    """As many as a real epoch reports."""
    parts = ("val", "val_raw", "val_ema", "clean_train")
    keys = ("top1", "nll", "nll_refined")
    values = {f"{part}/{key}": 1.0 - 1.0 / (epoch + 1) for part in parts for key in keys}
    return values | {"train/loss": 1.0 / epoch, "cost/train_s": 1.0, "cost/eval_s": 0.1}


def driven(
    run_dir: Path,
    *,
    num_trials: int,
    epochs: int,
    num_workers: int,
    seconds: float,
    on_change: Callable[[Trial], None] = lambda trial: None,
    at: Sequence[tuple[float, Callable[[], None]]] = (),
) -> Driven:
    """Feed a conductor at a steady pace.

    Args:
        run_dir: Of the journal; made.
        num_trials: All run to full length.
        epochs: Of each.
        num_workers: Trials that run at once.
        seconds: From the first report to the last.
        on_change: As the conductor takes it.
        at: What happens after which share of the reports; its time is nobody's.
    """
    run_dir.mkdir()
    journal = Journal(run_dir)
    journal.begin_session(num_cores=num_workers, cores_per_trial=1)
    specs = [
        TrialSpec(stage="search", number=number, role="proposed", recipe=Recipe(epochs=epochs))
        for number in range(num_trials)
    ]
    stage = ListedStage("search", journal, lambda batch: specs if batch == 0 else [])
    conductor = Conductor(journal, [lambda: stage], on_change=on_change)
    num_reports = num_trials * epochs
    steps: list[float] = []
    events = sorted(at, key=lambda event: event[0])
    running: list[str] = []
    started, paused, late_s, reported = time.perf_counter(), 0.0, 0.0, 0

    def timed(step: Callable[[], object]) -> object:
        before = time.perf_counter()
        result = step()
        steps.append(time.perf_counter() - before)
        return result

    while not conductor.is_over:
        while len(running) < num_workers:
            answer = timed(conductor.next_trial)
            if not isinstance(answer, Trial):
                assert isinstance(answer, Wait)
                break
            running.append(answer.spec.trial_id)
        for trial_id in list(running):
            if events and reported >= events[0][0] * num_reports:
                before = time.perf_counter()
                events.pop(0)[1]()
                paused += time.perf_counter() - before
            due = started + paused + seconds * reported / num_reports
            late_s = max(late_s, time.perf_counter() - due)
            time.sleep(max(0.0, due - time.perf_counter()))
            epoch = conductor.trial(trial_id).epoch + 1
            record = Record(
                trial_id=trial_id,
                stage="search",
                epoch=epoch,
                metrics=metrics(epoch),
                time=time.time(),
            )
            reported += 1
            if not timed(lambda record=record: conductor.report(record)):
                running.remove(trial_id)
    journal.close()
    return Driven(
        trials=dict(journal.trials),
        seconds=np.asarray(steps),
        wall_s=time.perf_counter() - started - paused,
        late_s=late_s,
    )


def counted(database: str, trials: dict[str, Trial]) -> dict[str, int]:
    """Runs and points in the database: how many, how many lost, how many there twice."""
    import psycopg2

    connection = psycopg2.connect(database.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.value, r.run_uuid FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
            "WHERE t.key = 'trial_id' AND r.lifecycle_stage = 'active'"
        )
        runs = cursor.fetchall()
        cursor.execute(
            "SELECT run_uuid, key, step, count(*) FROM metrics GROUP BY run_uuid, key, step"
        )
        seen = {(run, key, step): count for run, key, step, count in cursor.fetchall()}
    connection.close()
    run_of = dict(runs)
    expected = {
        (run_of.get(name, ""), point.name, point.step)
        for name, trial in trials.items()
        for point in points(trial, after=0)
    }
    return {
        "runs": len(runs),
        "runs lost": len(set(trials) - set(run_of)),
        "runs twice": len(runs) - len(run_of),
        "points": sum(seen.values()),
        "points lost": len(expected - set(seen)),
        "points twice": sum(count - 1 for count in seen.values()),
    }


def tell(name: str, found: Driven) -> str:
    """One line of a table."""
    steps = 1e3 * found.seconds
    cells = (
        *(name, f"{found.wall_s:.1f}", f"{found.seconds.sum():.1f}", f"{steps.mean():.3f}"),
        *(f"{np.quantile(steps, 0.999):.1f}", f"{steps.max():.0f}", f"{found.late_s:.2f}"),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Tracking of thousands of trials.")
    parser.add_argument("--children", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the search")
    parser.add_argument("--away", type=float, default=60.0, help="seconds of each interruption")
    parser.add_argument(
        "--remote",
        action="store_true",
        help="let tracking take the share that it takes with a server on another machine",
    )
    given = parser.parse_args()
    binaries = postgres_binaries()
    if binaries is None:
        parser.error("There is no PostgreSQL under /usr/lib/postgresql.")
    logging.disable(logging.WARNING)
    pace = {
        "num_trials": given.children,
        "epochs": given.epochs,
        "num_workers": min(given.workers, given.children),
        "seconds": given.seconds,
    }
    print(f"{given.children} trials of {given.epochs} epochs in {given.seconds:.0f} s\n")
    head = "| | wall, s | driver busy, s | a step, ms | 99.9 % | longest, ms | latest report, s |"
    print(head + "\n| --- | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as scratch, postgres(binaries) as database:
        home = Path(scratch)
        print(tell("without tracking", driven(home / "bare", **pace)), flush=True)
        server = MlflowServer(database, home)
        server.start()
        tracker = BackgroundTracker(
            Tracker(
                server.uri,
                store_dir=home,
                experiment=_NAME,
                run_name=_NAME,
                patience=Patience(
                    failures(), costs=costs_of("http://elsewhere" if given.remote else server.uri)
                ),
            )
        )
        tracker.open_search(params={"seed": "0"}, tags={"dataset": "digits"}, dataset=_DATASET)
        away = given.away / given.seconds
        at = [
            (0.25, server.die),
            (0.25 + away, server.start),
            (0.6, server.hang),
            (0.6 + away, server.go_on),
        ]
        found = driven(home / "tracked", on_change=tracker.trial_changed, at=at, **pace)
        print(tell("tracked", found), flush=True)
        before = counted(database, found.trials)
        started = time.perf_counter()
        tracker.close_search("FINISHED", verdict=None, artifacts=None)
        closing_s = time.perf_counter() - started
        after = counted(database, found.trials)
        server.die()
    rows = after["points"] - before["points"]
    print(f"\nwhen the search ended: {before['runs']} runs, {before['points']} points")
    print(f"closing: {closing_s:.0f} s, {rows / closing_s:.0f} points a second")
    print(", ".join(f"{name}: {value}" for name, value in after.items()))
    print(f"problems: {tracker.problems}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
