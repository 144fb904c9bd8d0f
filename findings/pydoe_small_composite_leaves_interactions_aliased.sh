#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: `small_composite_design(n)` can fit the full quadratic model of n factors, which is what a
# composite design is for; it is called Hartley's, and makes at least as many runs as there are coefficients up to 6 factors.
# Expected: the rank of the model matrix is its number of coefficients: 10, 15, 21, 28 for 3 to 6 factors.
# Seen: '18 of 21 in 26 runs, 20 of 28 in 28 runs' for 5 and 6 factors. Eight of these runs are at the centre, and the others
# leave interactions aliased with each other.
# Why: Hartley's cube may alias main effects with interactions, but no two interactions with each other (resolution III*). The
# fraction that is taken is the smallest of resolution III, 8 runs (pydoe/response_surface/small_composite.py). A way out: plain `ccdesign`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pydoe==1.6.0 numpy==2.4.6 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys
from itertools import combinations

import numpy as np
import pydoe


def quadratic(x: np.ndarray) -> np.ndarray:
    pairs = [x[:, i] * x[:, j] for i, j in combinations(range(x.shape[1]), 2)]
    return np.column_stack([np.ones(len(x)), x, x**2, *pairs])


seen = []
for factors in range(3, 7):
    matrix = quadratic(np.asarray(pydoe.small_composite_design(factors)))
    seen.append((len(matrix), int(np.linalg.matrix_rank(matrix)), matrix.shape[1]))
told = ", ".join(f"{rank} of {coefficients} in {runs} runs" for runs, rank, coefficients in seen)
print(f"pydoe {pydoe.__version__}, ranks of coefficients for 3 to 6 factors: {told}")
print("expected: 10 of 10, 15 of 15, 21 of 21, 28 of 28")
sys.exit([rank for _, rank, _ in seen] != [10, 15, 18, 20])
PY
