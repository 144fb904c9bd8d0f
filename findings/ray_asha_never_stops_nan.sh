#!/usr/bin/env bash
# ray 2.60.0 (Tune).
# Guess, written before it was run: ASHA takes a trial that reports NaN for its metric as the worst, and stops it at its
# first rung, as it does with the worst of those that report numbers.
# Expected: the trials with 0.9 and 0.1 and the one with NaN end after one of four iterations.
# Seen: iterations {'1.0': 4, '0.9': 1, '0.1': 1, 'nan': 4}: the one that has diverged is trained to the end.
# Why: a trial is stopped if its value is below the cutoff, and no comparison with NaN is true
# (ray/tune/schedulers/async_hyperband.py). A way out: report a finite worst value for a diverged run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "ray[tune]==2.60.0" 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cd "$folder"
"$folder/env/bin/python" - 2>"$folder/log.txt" <<'PY' || { cat "$folder/log.txt" >&2; exit 1; }
import os
import sys

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)


def train(config: dict) -> None:
    for _ in range(4):
        tune.report({"score": config["score"]})


scheduler = ASHAScheduler(metric="score", mode="max", max_t=4, grace_period=1, reduction_factor=2)
results = tune.Tuner(
    train,
    param_space={"score": tune.grid_search([1.0, 0.9, 0.1, float("nan")])},
    tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=1),
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
).fit()
seen = {str(one.config["score"]): one.metrics["training_iteration"] for one in results}
print(f"ray {ray.__version__}: iterations {seen}")
print("expected: nan after 1, as 0.1")
sys.exit((seen["1.0"], seen["0.1"], seen["nan"]) != (4, 1, 4))
PY
