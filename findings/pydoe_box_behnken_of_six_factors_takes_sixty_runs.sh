#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: `bbdesign` gives the designs of Box and Behnken's table (1960), which vary two factors at a time up
# to five factors and three at a time for six and seven: 48 and 56 runs beside those at the centre.
# Expected: 12, 24, 40, 48, 56 runs for 3 to 7 factors.
# Seen: 12, 24, 40, 60, 84. For six factors a quarter more is trained than need be, for seven half as much again.
# Why: pairs of factors are varied whatever their number (pydoe/response_surface/box_behnken.py). A way out: write the blocks of the
# table down, (1 2 4) (2 3 5) (3 4 6) (1 4 5) (2 5 6) (1 3 6) for six factors, and `ff2n(3)` in each.
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


def rank_of_quadratic(x: np.ndarray) -> int:
    pairs = [x[:, i] * x[:, j] for i, j in combinations(range(x.shape[1]), 2)]
    return int(np.linalg.matrix_rank(np.column_stack([np.ones(len(x)), x, x**2, *pairs])))


blocks = [(0, 1, 3), (1, 2, 4), (2, 3, 5), (0, 3, 4), (1, 4, 5), (0, 2, 5)]
table = np.zeros((48, 6))
for number, block in enumerate(blocks):
    table[8 * number : 8 * number + 8, block] = pydoe.ff2n(3)
table = np.vstack([table, np.zeros((1, 6))])
runs = [len(pydoe.bbdesign(factors, center=1)) - 1 for factors in range(3, 8)]
print(f"pydoe {pydoe.__version__}: runs beside the centre for 3 to 7 factors: {runs}; expected: [12, 24, 40, 48, 56]")
print(f"the table for six factors fits the quadratic model in 48 runs: rank {rank_of_quadratic(table)} of 28")
sys.exit(runs != [12, 24, 40, 60, 84] or rank_of_quadratic(table) != 28)
PY
