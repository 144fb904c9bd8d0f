"""Wall-clock cost of tracking in a search, with working and with broken stores.

    python -m benchmarks.driver.tracking_cost --seconds 120

A search of the usual size is replayed at the usual pace: 24 trials of up to 15 epochs, 16 runs of
the experiment, 12 confirmations, as many reports as fill the time, the driver idle between two of
them as it is while workers train. Each replay with a store has one without as its partner, right
before it; the share is what the pair differs by. Importing MLflow and making a new database are
parts of starting up, as importing torch is, and are told apart.

* ``sqlite``: straight to a new database, the default.
* ``server``: an MLflow server on this machine.
* ``refused``: nobody listens at the address.
* ``hanging``: somebody listens and never answers.
* ``dies``: a server that is killed after a third of the search.
"""

import argparse
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.commands.ui import free_port
from search.records.trials import Record, Trial, TrialSpec
from search.tracking.open_store import embedded_uri
from search.tracking.tracker import DatasetInfo, Tracker
from spaces.recipe import Recipe

EPOCHS = 15
STAGES = {"search": 24, "attribute": 16, "confirm": 12}
NUM_REPORTS = EPOCHS * sum(STAGES.values())
CASES = ("sqlite", "server", "refused", "hanging", "dies")
_DATASET = DatasetInfo(name="digits", digest="0" * 32, num_train=300, num_val=200, num_test=1197)
_PORT = 5790  # The first that is tried.


def reports() -> Iterator[Trial]:
    """A trial after each of its epochs, then as it ended; two trials run at a time."""
    specs = [
        TrialSpec(stage=stage, number=number, role="proposed", recipe=Recipe(epochs=EPOCHS))
        for stage, count in STAGES.items()
        for number in range(count)
    ]
    for pair in zip(specs[::2], specs[1::2], strict=True):
        trials = [Trial(spec=spec) for spec in pair]
        for epoch in range(1, EPOCHS + 1):
            for place, trial in enumerate(trials):
                metrics = {
                    f"{part}/{key}": 0.5 + 0.01 * epoch
                    for part in ("val", "val_raw", "val_ema", "clean_train")
                    for key in ("top1", "nll", "nll_refined")
                } | {"train/loss": 1.0 / epoch, "cost/train_s": 0.4, "cost/eval_s": 0.1}
                record = Record(
                    trial_id=trial.spec.trial_id,
                    stage=trial.spec.stage,
                    epoch=epoch,
                    metrics=metrics,
                    time=time.time(),
                )
                status = "finished" if epoch == EPOCHS else "running"
                trials[place] = replace(trial, records=(*trial.records, record), status=status)
                yield trials[place]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Seconds of one replay; ``cpu_s`` are those that this process computed."""

    search_s: float
    closing_s: float
    cpu_s: float

    @property
    def wall_s(self) -> float:
        """Seconds in all."""
        return self.search_s + self.closing_s


def replayed(tracker: Tracker | None, seconds: float, kill: subprocess.Popen[bytes] | None) -> Cost:
    """Replay the search, from its first report to its end."""
    started, cpu = time.perf_counter(), time.process_time()
    if tracker is not None:
        tracker.open_search(params={"seed": "0"}, tags={"dataset": "digits"}, dataset=_DATASET)
    for number, trial in enumerate(reports()):
        time.sleep(seconds / NUM_REPORTS)
        if tracker is not None:
            tracker.trial_changed(trial)
        if kill is not None and number == NUM_REPORTS // 3:
            kill_group(kill)
    ended = time.perf_counter()
    if tracker is not None:
        tracker.close_search("FINISHED", verdict=None, artifacts=None)
    return Cost(
        search_s=ended - started,
        closing_s=time.perf_counter() - ended,
        cpu_s=time.process_time() - cpu,
    )


def kill_group(server: subprocess.Popen[bytes]) -> None:
    """End a server and its workers, if it has not ended yet."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(timeout=30)


@contextmanager
def mlflow_server(home: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address of a server of one process, over a database of its own, and the process."""
    home.mkdir()
    port = free_port("127.0.0.1", _PORT)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", embedded_uri(home)]
    command += ["--artifacts-destination", str(home / "artifacts")]
    with (home / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", server
    finally:
        kill_group(server)


@contextmanager
def store(case: str, home: Path) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """Address of a store that behaves as the case says, and what to kill."""
    if case == "sqlite":
        yield embedded_uri(home / case), None
    elif case == "refused":
        yield "http://127.0.0.1:9", None
    elif case == "hanging":
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield f"http://127.0.0.1:{silent.getsockname()[1]}", None
    else:
        with mlflow_server(home / case) as (address, server):
            yield address, server if case == "dies" else None


def measure(case: str, seconds: float, home: Path) -> str:
    """One pair, as a row of a Markdown table."""
    bare = replayed(None, seconds, None)
    with store(case, home) as (uri, kill):
        started = time.perf_counter()
        tracker = Tracker(uri, store_dir=home / "unused", experiment="cost", run_name=case)
        opened = time.perf_counter() - started
        tracked = replayed(tracker, seconds, kill)
    during, whole = ((s - bare.wall_s) / bare.wall_s for s in (tracked.search_s, tracked.wall_s))
    computed = tracked.cpu_s - bare.cpu_s
    lacks = "nothing" if not tracker.problems else f"told in {len(tracker.problems)} lines"
    cells = (
        *(case, f"{bare.wall_s:.1f}", f"{tracked.search_s:.1f}", f"{tracked.closing_s:.1f}"),
        *(f"{during:.1%}", f"{whole:.1%}", f"{computed:.1f}", f"{opened:.1f}", lacks),
    )
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What tracking adds to a search.")
    parser.add_argument("cases", nargs="*", default=CASES, metavar="case", help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=120.0, help="of a search without a store")
    given = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    print(f"{NUM_REPORTS} reports in {given.seconds:.0f} s")
    head = (
        *("store", "without, s", "with, s", "+ closing, s", "share while searching", "share"),
        *("CPU s", "opening, s", "what it lacks in the end"),
    )
    print(f"| {' | '.join(head)} |\n| --- |{' --: |' * (len(head) - 2)} --- |")
    with tempfile.TemporaryDirectory() as home:
        for case in given.cases:
            print(measure(case, given.seconds, Path(home)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
