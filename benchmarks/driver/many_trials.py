"""Time per trial and memory of the driver over the number of the trial.

    python -m benchmarks.driver.many_trials --trials 5000 --plot docs/many_trials.png

The whole main job from the command line, only that a trial trains nothing: real planner, Ray Tune,
Optuna, journal, tables, report and an embedded MLflow store. What a trial costs here is what the
driver and Ray cost. The driver is a process of its own; this one watches it from outside, so that
watching adds nothing to what is measured.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

NUM_PARTS = 10
"""Lines of the table."""
EPOCHS = 4
_DRIVE = "--drive"
_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Memory at a moment, in MB, shared pages split among those that share them.

    Attributes:
        time: Seconds since 1970.
        driver_cpu_s: Seconds that the process that searches has computed, with its threads.
        driver_mb: Its memory.
        ray_mb: Everything it started: Ray's own processes and the workers.
    """

    time: float
    driver_cpu_s: float
    driver_mb: float
    ray_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some neighbouring trials of the search.

    Attributes:
        first: Number of the first one, from 1.
        last: Number of the last one.
        per_trial_ms: Wall-clock between their first and last end, by trial.
        cpu_ms: Computing time of the driver, by trial: what other work on the machine leaves alone.
        driver_mb: Memory of the driver at their last end.
        ray_mb: Memory of what it started.
    """

    first: int
    last: int
    per_trial_ms: float
    cpu_ms: float
    driver_mb: float
    ray_mb: float


def drive(run_dir: Path, num_trials: int) -> int:
    """Search as the command line does, with trials that train nothing."""
    from benchmarks.driver.toy_trainable import ToyTrainable
    from search import cli
    from search.engine import run as tune_run

    arguments = ["run", "--dataset", "small-transfer", "--epochs", str(EPOCHS)]
    arguments += ["--num-samples", str(num_trials), "--amp-dtype", "none"]
    arguments += ["--run-dir", str(run_dir), "--run-name", "many"]
    arguments += ["--tracking-uri", f"sqlite:///{run_dir}/mlflow.db"]
    arguments += ["--max-blocks", "2", "--confirm-seeds", "2"]
    with mock.patch.object(tune_run, "RecipeTrainable", ToyTrainable):
        return cli.main(arguments)


def watched(run_dir: Path, num_trials: int, minutes: float) -> list[Sample]:
    """Start a driver and look at its memory until it ends, or interrupt it after some minutes.

    Raises:
        RuntimeError: If it fails.
    """
    command = [sys.executable, "-m", "benchmarks.driver.many_trials", "--trials", str(num_trials)]
    with (run_dir / "output.txt").open("w") as output:
        driver = subprocess.Popen(
            [*command, _DRIVE, str(run_dir)], stdout=output, stderr=subprocess.STDOUT
        )
        samples = []
        ends_at = time.monotonic() + 60.0 * minutes
        interrupted = False
        try:
            while driver.poll() is None:
                if time.monotonic() > ends_at and not interrupted:
                    driver.send_signal(signal.SIGTERM)  # A shell's background ignores SIGINT.
                    interrupted = True
                tree = _tree(driver.pid)
                samples.append(
                    Sample(
                        time=time.time(),
                        driver_cpu_s=_cpu_s(driver.pid),
                        driver_mb=_memory_mb(driver.pid),
                        ray_mb=sum(_memory_mb(pid) for pid in tree - {driver.pid}),
                    )
                )
                time.sleep(_EVERY_S)
        finally:
            driver.kill()
    if driver.returncode != 0 and not interrupted:
        raise RuntimeError((run_dir / "output.txt").read_text()[-3000:])
    return samples


def _tree(root: int) -> set[int]:
    """A process and all that it and its children started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # It ended while we looked.
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def ends_of(run: Path) -> list[float]:
    """Return the times at which the search's trials ended, ascending, without reruns."""
    events = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    searched = {
        event["trial_id"]
        for event in events
        if event["event"] == "start"
        and event["spec"]["stage"] == "search"
        and event["spec"]["rerun_of"] is None
    }
    return sorted(e["time"] for e in events if e["event"] == "end" and e["trial_id"] in searched)


def parts(ends: Sequence[float], samples: Sequence[Sample]) -> list[Part]:
    """Cut the search into neighbourhoods of equally many trials."""
    size = len(ends) // NUM_PARTS
    found = []
    for first in range(0, size * NUM_PARTS, size):
        last = first + size - 1
        before = ends[first - 1] if first else ends[0]
        earlier, sample = (
            min(samples, key=lambda s: abs(s.time - moment)) for moment in (before, ends[last])
        )
        count = size if first else size - 1
        found.append(
            Part(
                first=first + 1,
                last=last + 1,
                per_trial_ms=1e3 * (ends[last] - before) / count,
                cpu_ms=1e3 * (sample.driver_cpu_s - earlier.driver_cpu_s) / count,
                driver_mb=sample.driver_mb,
                ray_mb=sample.ray_mb,
            )
        )
    return found


def opened(run: Path) -> Mapping[str, str]:
    """Size of what people open, and how long reading takes."""
    from search.records.journal import Journal

    started = time.perf_counter()
    with (run / "trials.csv").open() as file:
        num_rows = sum(1 for _ in csv.DictReader(file))
    table_s = time.perf_counter() - started
    started = time.perf_counter()
    Journal(run)
    journal_s = time.perf_counter() - started
    sizes = {path.name: path.stat().st_size / 1e6 for path in run.iterdir() if path.is_file()}
    return {
        "trials.csv": f"{sizes['trials.csv']:.2f} MB, {num_rows} rows read in {table_s:.2f} s",
        "report.html": f"{sizes['report.html']:.2f} MB",
        "journal": f"{sizes['trials.jsonl'] + sizes['records.jsonl']:.1f} MB read in "
        f"{journal_s:.2f} s",
        "optuna.journal": f"{sizes['optuna.journal']:.1f} MB",
        "log.txt": f"{sizes['log.txt']:.2f} MB",
    }


def draw(
    ends: Sequence[float], samples: Sequence[Sample], parts: Sequence[Part], path: Path
) -> None:
    """Two panels over the number of the trial: time per trial, and memory."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    times, memory = figure.subplots(1, 2)
    window = max(1, len(ends) // 100)
    steps = 1e3 * (np.asarray(ends[window:]) - np.asarray(ends[:-window])) / window
    times.plot(np.arange(window, len(ends)), steps, color="#9ecae1", lw=0.8)
    middles = [(part.first + part.last) / 2 for part in parts]
    wall, cpu = zip(*((part.per_trial_ms, part.cpu_ms) for part in parts), strict=True)
    times.plot(middles, wall, color="#08306b", marker="o", label="wall-clock")
    times.plot(middles, cpu, color="#d95f02", marker="o", label="computing time of the driver")
    times.set_ylabel("a trial, ms")
    times.legend(frameon=False)
    during = [s for s in samples if ends[0] <= s.time <= ends[-1]]
    number = np.searchsorted(ends, [s.time for s in during])
    memory.plot(number, [s.driver_mb for s in during], color="#08306b", label="driver")
    memory.plot(number, [s.ray_mb for s in during], color="#d95f02", label="Ray and two workers")
    memory.set_ylabel("memory (PSS), MB")
    memory.legend(frameon=False)
    for axes in (times, memory):
        axes.set_ylim(bottom=0)
        axes.set_xlabel("trials that ended")
        axes.grid(alpha=0.25)
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description="What the 5,000th trial costs.")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=1e6, help="after which it is interrupted")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    parser.add_argument("--keep", type=Path, help="directory to run in, kept")
    parser.add_argument(_DRIVE, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        sys.exit(drive(given.drive, given.trials))
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = (given.keep or Path(scratch)).resolve()
        run_dir.mkdir(parents=True, exist_ok=True)
        samples = watched(run_dir, given.trials, given.minutes)
        run = run_dir / "many"
        ends = ends_of(run)
        found = parts(ends, samples)
        print(f"{len(ends)} trials of {EPOCHS} epochs or less, load {os.getloadavg()[0]:.1f}\n")
        print(
            "| trials | a trial, ms | of the driver's CPU, ms | driver, MB | Ray and workers, MB |"
        )
        print("| --- | --: | --: | --: | --: |")
        for part in found:
            print(
                f"| {part.first} to {part.last} | {part.per_trial_ms:.0f} | {part.cpu_ms:.0f} | "
                f"{part.driver_mb:.0f} | {part.ray_mb:.0f} |"
            )
        print()
        for name, value in opened(run).items():
            print(f"{name}: {value}")
        if given.plot:
            draw(ends, samples, found, given.plot)


if __name__ == "__main__":
    main()
