#!/usr/bin/env bash
# optuna 5.0.0, scikit-learn 1.9.1.
# Guess, written before it was run: once `get_param_importances` has returned and study and evaluator are gone, a garbage
# collection frees the random forest that fANOVA grew, so memory stays flat however often importances are asked for.
# Expected: no object of fANOVA's tree class is left after each call.
# Seen: "trees left after each of four calls: [64, 128, 192, 256]". All 64 trees of every call are left, 256 after four; a service that asks after each trial grows by each of them.
# Why: methods of the tree are wrapped by an unbounded `functools.lru_cache`, whose keys hold `self`, in the class
# (optuna/importance/_fanova/_tree.py). A way out: call `cache_clear()` of those methods.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 scikit-learn==1.9.1 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import gc
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def importances(seed: int) -> dict[str, float]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    study.optimize(
        lambda trial: trial.suggest_float("a", 0, 1) + trial.suggest_float("b", 0, 1) ** 2,
        n_trials=30,
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


left = []
for call in range(4):
    importances(call)
    gc.collect()
    left.append(sum(type(found).__name__ == "_FanovaTree" for found in gc.get_objects()))
print(f"optuna {optuna.__version__}: trees left after each of four calls: {left}")
print("expected: [0, 0, 0, 0]")
sys.exit(left != [64, 128, 192, 256])
PY
