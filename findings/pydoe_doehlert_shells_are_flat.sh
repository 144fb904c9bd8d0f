#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: Doehlert designs of k factors vary all k of them, and all points but the centre lie at distance
# 1 from it: that is what makes them uniform shells.
# Expected: rank k, and one distance, from `doehlert_shell_design` and from `doehlert_simplex_design`.
# Seen: '4 factors: rank 2, columns of zeros [2, 3] in the shell design'. From the third factor on every column is zero, so nothing
# is learned of these factors. Points of the simplex design lie between 0.87 and 1.40 from the centre.
# Why: the shells are regular polygons in the plane of the first two factors; in the simplex one coordinate of each vertex is written
# over another (pydoe/response_surface/doehlert.py). A way out: `ccdesign`, or Doehlert's own tables.
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

seen = {}
for factors in (3, 4, 5):
    shell, simplex = (np.asarray(make(factors)) for make in (pydoe.doehlert_shell_design, pydoe.doehlert_simplex_design))
    flat = [column for column in range(factors) if not shell[:, column].any()]
    distances = np.linalg.norm(simplex, axis=1)
    off = distances[distances > 1e-9]
    seen[factors] = (int(np.linalg.matrix_rank(shell)), flat, round(float(off.min()), 2), round(float(off.max()), 2))
    rank, flat, nearest, farthest = seen[factors]
    print(
        f"pydoe {pydoe.__version__}, {factors} factors: rank {rank}, columns of zeros {flat} in the shell design; "
        f"distances from {nearest} to {farthest} in the simplex design"
    )
print("expected: ranks 3, 4, 5, no column of zeros, all distances 1")
sys.exit([(rank, len(flat)) for rank, flat, _, _ in seen.values()] != [(2, 1), (2, 2), (2, 3)] or seen[4][2:] != (0.87, 1.4))
PY
