#!/usr/bin/env bash
# mlflow 3.17.2.
# Guess, written before it was run: of several values of a metric that are logged with the same step, `Run.data.metrics` has the last.
# Expected: 1.0 after 3.0 and then 1.0 were logged, in one call or in two, whatever the clock says.
# Seen: 3.0, if both come in the same millisecond or in one batch with one time; 1.0, if the second has a later time. Who logs a
# loss anew without a step, as a best value so far, sees the worst of a millisecond, and runs are ordered by that.
# Why: the latest value is the largest by step, time and value, in this order (mlflow/store/tracking/sqlalchemy_store.py,
# `_update_latest_metrics_if_necessary`). A way out: a step that counts the values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/env/bin/python" - 2>"$folder/log.txt" <<'PY' || { cat "$folder/log.txt" >&2; exit 1; }
import sys

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

client = MlflowClient("sqlite:///store.db")
experiment = client.create_experiment("metrics")
seen = {}
for name, times, in_one_call in (("one batch", (7, 7), True), ("two calls, one time", (7, 7), False), ("two times", (7, 8), False)):
    run = client.create_run(experiment).info.run_id
    values = [Metric("loss", value, time, step=0) for value, time in zip((3.0, 1.0), times)]
    for part in [values] if in_one_call else [values[:1], values[1:]]:
        client.log_batch(run, metrics=part)
    seen[name] = client.get_run(run).data.metrics["loss"]
print(f"mlflow {mlflow.__version__}: {seen}")
print("expected: 1.0 each time")
sys.exit(list(seen.values()) != [3.0, 3.0, 1.0])
PY
