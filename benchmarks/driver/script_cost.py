"""Cost of a run of ``compare`` beside the script itself, one at a time and several at once.

    python -m benchmarks.driver.script_cost --sleep 1 --at-once 1 8

The script is a shell script that sleeps and writes a number, so that what a run takes beyond it is
the product's: handing it out through Ray, its directory and configuration, its process, journal,
tracking store and the decision what to run next. A comparison of four keys makes 32 runs;
``--cpus`` says how many cores the runs share.

Columns, in seconds: ``driver_s`` is the computing time of the driver for each run; ``run_s`` the
wall-clock that a run keeps its place beyond the sleep, over the runs that find a worker which has
run one before; ``first_s`` the wall-clock from the first start until as many runs have ended as
places, which includes starting the workers; ``rest_s`` everything before and after, most of it
starting Ray and MLflow.
"""

import argparse
import json
import os
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from search.cli import main as search
from search.commands.compare import command
from search.commands.compare.running import run_all
from search.engine import run as tune_run
from search.engine.run import start_ray
from search.records.provenance import ROOT

SCRIPT = """sleep "$4"
sum=$({ cat "$1"; echo "$2"; } | cksum | cut -d" " -f1)
echo "{\\"accuracy\\": 0.$sum}" > "$3/result.json"
"""
"""Its number is a checksum of configuration and seed: no two runs agree, as the driver checks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Seconds that one comparison took beside its script; the columns of the table.

    Attributes:
        at_once: Runs side by side.
        runs: Number of runs.
        driver_s: Computing time of the driver, per run.
        run_s: Time of a run in its place beyond the sleep, once every place has had one.
        first_s: Time until as many runs have ended as there are places.
        rest_s: Wall-clock before the first run and after the last.
    """

    at_once: int
    runs: int
    driver_s: float
    run_s: float
    first_s: float
    rest_s: float


def measure(*, at_once: int, sleep_s: float, cpus: int, scratch: Path) -> Cost:
    """Do one comparison of four keys and read from its journal what its runs took."""
    script = scratch / "script.sh"
    script.write_text(SCRIPT)
    for name, value in (("mine", 0), ("paper", 1)):
        (scratch / f"{name}.json").write_text(json.dumps({f"key{i}": value for i in range(4)}))
    words = ["sh", str(script), "{config}", "{seed}", "{dir}", str(sleep_s)]
    flags = {
        "reference": scratch / "mine.json",
        "best": scratch / "paper.json",
        "command": shlex.join(words),
        "metric": "{dir}/result.json:accuracy",
        "min-blocks": 4,
        "max-blocks": 4,
        "confirm-seeds": 0,
        "cpus-per-run": cpus / at_once,
        "run-dir": scratch / "runs",
        "run-name": f"at-once-{at_once}",
        "tracking-uri": f"sqlite:///{scratch / 'mlflow.db'}",
    }
    computed_s = 0.0

    def timed_runs(*given: Any) -> None:
        nonlocal computed_s
        before = time.process_time()
        run_all(*given)
        computed_s += time.process_time() - before

    def timed_start(resources: tune_run.Resources) -> float:
        nonlocal computed_s
        before = time.process_time()
        places = start_ray(resources)
        computed_s -= time.process_time() - before
        return places

    started = time.time()
    with (
        mock.patch.object(command, "run_all", timed_runs),
        mock.patch.object(tune_run, "start_ray", timed_start),
    ):
        code = search(["compare", *(f"--{name}={value}" for name, value in flags.items())])
    wall_s = time.time() - started
    if code != 0:
        raise RuntimeError(f"The comparison ended with exit code {code}.")
    lines = (scratch / "runs" / f"at-once-{at_once}" / "runs.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    first = min(event["time"] for event in events if event["event"] == "begin")
    ends = sorted(event["time"] for event in events if event["event"] == "end")
    warm = ends[at_once - 1]
    return Cost(
        at_once=at_once,
        runs=len(ends),
        driver_s=computed_s / len(ends),
        run_s=(ends[-1] - warm) * at_once / (len(ends) - at_once) - sleep_s,
        first_s=warm - first,
        rest_s=wall_s - (ends[-1] - first),
    )


def main() -> None:
    """Measure and print one row per number of runs at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds that the script sleeps")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8], help="runs side by side")
    parser.add_argument(
        "--cpus", type=int, default=os.cpu_count() or 1, help="cores of the machine"
    )
    asked = parser.parse_args()
    os.chdir(ROOT)
    found = []
    for at_once in asked.at_once:
        with tempfile.TemporaryDirectory() as scratch:
            cost = measure(
                at_once=at_once, sleep_s=asked.sleep, cpus=asked.cpus, scratch=Path(scratch)
            )
        found.append(cost)
    print("at once  runs  driver_s  run_s  first_s  rest_s")
    for cost in found:
        print(
            f"{cost.at_once:7d} {cost.runs:5d} {cost.driver_s:9.3f} {cost.run_s:6.2f} "
            f"{cost.first_s:8.1f} {cost.rest_s:7.1f}"
        )


if __name__ == "__main__":
    main()
