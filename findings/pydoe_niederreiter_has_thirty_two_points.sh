#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: `niederreiter_sequence(n, 2)`, whose documentation calls it a digital net, has n different points,
# and fills the square ever more evenly as n grows, as `sobol_sequence` and `halton_sequence` of the same package do.
# Expected: 1024 different points of 1024 from all three.
# Seen: 1024 from the other two, 32 from this one. A coordinate takes 4 values in the first dimension, 8 in the next two, 16 in
# the two after these, however many points are asked for; all others are repeats.
# Why: each generating matrix is filled from a linear feedback register of 2, 3, 3, 4, 4 ... bits; by its recurrence all columns
# but so many are sums of others, so that is the matrix's rank (pydoe/space_filling/quasi_random/niederreiter.py). A way out: `sobol_sequence`, or scipy.stats.qmc.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pydoe==1.6.0 numpy==2.4.6 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys

import numpy as np
import pydoe

NUM_POINTS = 1024
seen = {}
for name in ("sobol_sequence", "halton_sequence", "niederreiter_sequence"):
    points = np.asarray(getattr(pydoe, name)(NUM_POINTS, 2)).round(9)
    seen[name] = len(np.unique(points, axis=0))
values = [len(np.unique(column.round(9))) for column in pydoe.niederreiter_sequence(NUM_POINTS, 5).T]
print(f"pydoe {pydoe.__version__}: different points of {NUM_POINTS}: {seen}")
print(f"different values in each of five dimensions of the Niederreiter sequence: {values}")
print(f"expected: {NUM_POINTS} points from each")
sys.exit(list(seen.values()) != [NUM_POINTS, NUM_POINTS, 32] or values != [4, 8, 8, 16, 16])
PY
