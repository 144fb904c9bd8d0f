#!/usr/bin/env bash
# ray 2.60.0 (Tune) and optuna 5.0.0.
# Guess, written before it was run: a trial of Tune that ends with NaN for its metric ends in the study of `OptunaSearch` too, as
# FAIL, which is what Optuna's own `study.optimize` makes of NaN.
# Expected: states ['COMPLETE', 'FAIL'] and after a search no trial RUNNING.
# Seen: ['COMPLETE', 'RUNNING']. The sampler counts it as running for as long as the study is used, and learns nothing from
# a setting that diverges.
# Why: the study is told NaN with the state COMPLETE, refuses that, and the error is logged as a warning
# (ray/tune/search/optuna/optuna_search.py, `on_trial_complete`). A way out: report a finite worst value.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "ray[tune]==2.60.0" optuna==5.0.0 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cd "$folder"
"$folder/env/bin/python" - 2>"$folder/log.txt" <<'PY' || { cat "$folder/log.txt" >&2; exit 1; }
import math
import os
import sys

import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch


def score(rate: float) -> float:
    return math.nan if rate > 0.5 else rate


own = optuna.create_study(direction="maximize")
for rate in (0.1, 0.9):
    own.enqueue_trial({"rate": rate})
own.optimize(lambda trial: score(trial.suggest_float("rate", 0.0, 1.0)), n_trials=2)

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
study = {}


class Kept(OptunaSearch):
    """Keeps its study where this script finds it."""

    def on_trial_complete(self, *args: object, **more: object) -> None:
        super().on_trial_complete(*args, **more)
        study["trials"] = self._ot_study.trials


tune.Tuner(
    lambda config: {"score": score(config["rate"])},
    param_space={"rate": tune.uniform(0.0, 1.0)},
    tune_config=tune.TuneConfig(
        search_alg=Kept(metric="score", mode="max", points_to_evaluate=[{"rate": 0.1}, {"rate": 0.9}]),
        num_samples=2,
        max_concurrent_trials=1,
    ),
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
).fit()
alone = [trial.state.name for trial in own.trials]
through_ray = [trial.state.name for trial in study["trials"]]
print(f"ray {ray.__version__}, optuna {optuna.__version__}: alone {alone}, through Tune {through_ray}")
print("expected: FAIL for the second, both times")
sys.exit((alone, through_ray) != (["COMPLETE", "FAIL"], ["COMPLETE", "RUNNING"]))
PY
