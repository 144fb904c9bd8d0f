#!/usr/bin/env bash
# mlflow 3.17.2 and optuna 5.0.0.
# Guess, written before it was run: a study whose storage is `mlflow.optuna.storage.MlflowStorage` lists its trials in the order
# of their numbers, as the documentation of `Study.trials` says and as all of Optuna's own storages do.
# Expected: numbers [0, 1, 2, 3, 4].
# Seen: [4, 3, 2, 1, 0]. So `study.trials[0]` is the newest trial, `trials[-1]` the first, and whatever walks through them
# for a best value so far walks backwards.
# Why: the storage returns what a search for runs returns, and that is newest first (mlflow/optuna/storage.py,
# `get_all_trials`). A way out: sort by `trial.number`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 optuna==5.0.0 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cd "$folder"
"$folder/env/bin/python" - 2>"$folder/log.txt" <<'PY' || { cat "$folder/log.txt" >&2; exit 1; }
import sys
import time

import mlflow
import optuna
from mlflow.optuna.storage import MlflowStorage

mlflow.set_tracking_uri("sqlite:///store.db")
stores = {
    "optuna": optuna.storages.InMemoryStorage(),
    "mlflow": MlflowStorage(experiment_id=mlflow.create_experiment("trials")),
}
numbers = {}
for name, storage in stores.items():
    study = optuna.create_study(storage=storage)
    for _ in range(5):
        study.tell(study.ask(), 0.0)
        time.sleep(0.01)  # Runs that begin in one millisecond have no order.
    numbers[name] = [trial.number for trial in study.trials]
print(f"mlflow {mlflow.__version__}, optuna {optuna.__version__}: {numbers}")
print("expected: [0, 1, 2, 3, 4] from both")
sys.exit(numbers != {"optuna": [0, 1, 2, 3, 4], "mlflow": [4, 3, 2, 1, 0]})
PY
