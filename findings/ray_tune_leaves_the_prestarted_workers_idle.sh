#!/usr/bin/env bash
# ray 2.60.0 (Tune).
# Guess, written before it was run: the workers that `ray.init` starts ahead, one for each core, are those in which Tune's trials
# run, as tasks and actors do; that is what they are started for.
# Expected: a task, an actor and the trials of Tune all run in processes that were there before they were asked for.
# Seen: task and actor do; each trial runs in a new process, although idle ones were there, and so does an actor with a runtime
# environment. What was started ahead is of no use to Tune.
# Why: Tune makes its actors with a runtime environment of their own, one variable that it always sets
# (ray/tune/execution/class_cache.py, `DEFAULT_ENV_VARS`), and Ray gives such an actor a new process. A way out: have none started
# ahead, with RAY_prestart_worker_first_driver=0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "ray[tune]==2.60.0" psutil==7.1.3 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cd "$folder"
"$folder/env/bin/python" - 2>"$folder/log.txt" <<'PY' || { cat "$folder/log.txt" >&2; exit 1; }
import os
import sys
import time

import psutil
import ray
from ray import tune

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)


def idle() -> set[int]:
    below = psutil.Process().children(recursive=True)
    return {process.pid for process in below if process.cmdline()[:1] == ["ray::IDLE"]}


deadline = time.monotonic() + 60
while len(idle()) < 2 and time.monotonic() < deadline:
    time.sleep(0.1)
there = idle()


class Actor:
    def pid(self) -> int:
        return os.getpid()


def trial(config: dict[str, int]) -> dict[str, object]:
    time.sleep(3)
    return {"pid": os.getpid()}


handle = ray.remote(Actor).options(num_cpus=0).remote()
actor = ray.get(handle.pid.remote())
of_its_own = {"env_vars": {"ANYTHING": "1"}}
other = ray.remote(Actor).options(num_cpus=0, runtime_env=of_its_own).remote()
with_environment = ray.get(other.pid.remote())
task = ray.get(ray.remote(lambda: os.getpid()).remote())
results = tune.Tuner(
    trial,
    tune_config=tune.TuneConfig(num_samples=2),
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
).fit()
trials = {result.metrics["pid"] for result in results}
seen = {
    "started ahead": len(there),
    "task in one of them": task in there,
    "actor in one of them": actor in there,
    "actor with a runtime environment in one of them": with_environment in there,
    "trials in one of them": len(trials & there),
}
print(f"ray {ray.__version__}: {seen}")
print("expected: the task, the actor and two trials in workers that were started ahead")
sys.exit(list(seen.values()) != [2, True, True, False, 0])
PY
