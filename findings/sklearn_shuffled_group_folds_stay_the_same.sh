#!/usr/bin/env bash
# scikit-learn 1.9.1, numpy 2.4.6.
# Guess, written before it was run: `StratifiedGroupKFold(shuffle=True)` with ten seeds splits 12 groups of different sizes in
# ten ways, or in eight at least.
# Expected: 8 or more different partitions into five folds.
# Seen: one and the same for all ten seeds, so that "five repetitions with fresh folds" measure the same fold five times and
# the spread between them is zero.
# Why: groups are dealt out in the order of how unevenly they fill the classes; the seed only decides between groups that
# are equally uneven (a docstring says "approximately the same class distribution"), and groups of different sizes never
# are (sklearn/model_selection/_split.py). A way out: draw the order of groups yourself, with some loss of balance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

sizes = [61, 53, 44, 40, 33, 29, 25, 20, 14, 9, 6, 2]
groups = np.repeat(np.arange(12), sizes)
# Patients, say: each has images of one diagnosis alone.
labels = groups % 3
partitions = set()
for seed in range(10):
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, labels, groups)
    partitions.add(frozenset(frozenset(groups[test].tolist()) for _, test in folds))
print(f"different partitions from ten seeds: {len(partitions)}")
print("expected: 8 or more")
sys.exit(len(partitions) != 1)
PY
