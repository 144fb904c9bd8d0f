#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: each slice of `sliced_lhs` is a small Latin hypercube over the whole range of every factor, as in
# Qian's sliced Latin hypercube designs (2012), where a slice is a batch of runs that can stand alone.
# Expected: with 4 points a slice each quarter of each factor's range holds one point of every slice, and factors are uncorrelated
# on average.
# Seen: slice 0 has points in the first two quarters only, slice 1 in the middle two, slice 2 in the last two; the factors of the
# whole design are correlated by 0.9, for it lies along its diagonal.
# Why: a slice takes consecutive cells, the same block in every factor, instead of one cell out of each block
# (pydoe/space_filling/stochastic/sliced_lhs.py). A way out: permute, in each factor, which slice gets which cell of a block.
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

POINTS, SLICES = 4, 3
spans, correlations = set(), []
for seed in range(50):
    design, slices = pydoe.sliced_lhs(2, POINTS, SLICES, seed=seed)
    correlations.append(np.corrcoef(design.T)[0, 1])
    for number in range(SLICES):
        for column in design[slices == number].T:
            spans.add((number, tuple(np.unique((column * POINTS).astype(int)).tolist())))
print(f"pydoe {pydoe.__version__}: slice, and quarters of a factor's range that it has points in: {sorted(spans)}")
print(f"mean correlation of two factors over 50 designs: {np.mean(correlations):.2f}")
print("expected: all quarters for each slice, correlation 0.00")
sys.exit(spans != {(0, (0, 1)), (1, (1, 2)), (2, (2, 3))} or not 0.85 < np.mean(correlations) < 0.95)
PY
