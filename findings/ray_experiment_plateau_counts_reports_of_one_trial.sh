#!/usr/bin/env bash
# ray 2.60.0 (Tune).
# Guess, written before it was run: `ExperimentPlateauStopper(top=3)` looks at the best value of each trial, so that it can end an
# experiment when the three best trials agree, and not before three have reported ("top: The number of best models to consider").
# Expected: all five trials are begun, for no two of them have scores within `std` of each other.
# Seen: one trial is begun, and the experiment ends at its third report. Reports are counted, not trials: the first trial whose
# own curve is flat for a few epochs ends the search, however good the others would be.
# Why: the value of every report is appended and the best `top` of all are kept, without the trial they belong to
# (ray/tune/stopper/experiment_plateau.py, `__call__`). Ways out: report once a trial, or stop by what is known of trials.
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
from ray.tune.stopper import ExperimentPlateauStopper

SCORES = [0.5, 0.6, 0.7, 0.8, 0.9]


def train(config: dict[str, float]) -> None:
    for _ in range(6):
        tune.report({"score": config["score"]})


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)


def begun(**stop: object) -> dict[float, int]:
    """Reports of each trial that was begun, by its score."""
    results = tune.Tuner(
        train,
        param_space={"score": tune.grid_search(SCORES)},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0, **stop),
    ).fit()
    return {r.config["score"]: len(r.metrics_dataframe) for r in results if r.metrics}


alone = begun()
stopped = begun(stop=ExperimentPlateauStopper(metric="score", mode="max", top=3, std=0.01))
print(f"ray {ray.__version__}: reports by trial {alone}; with the stopper {stopped}")
print("expected: the same, for no two trials have the same score")
sys.exit((alone, stopped) != (dict.fromkeys(SCORES, 6), {0.5: 3}))
PY
