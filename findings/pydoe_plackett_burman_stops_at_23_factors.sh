#!/usr/bin/env bash
# pydoe 1.6.0.
# Guess, written before it was run: `pbdesign(n)` gives a Plackett-Burman design for every n up to 99, with the next larger
# multiple of four as its number of runs.
# Expected: no n from 1 to 99 is refused.
# Seen: n = 24 is refused with "Invalid inputs. n must be a multiple of 4.", which 24 is; in all 52 of the 99 are, among them
# every n from 48 to 59. Up to 23 factors all work.
# Why: the number of runs is rounded up to a multiple of four, but only 2^k, 12 * 2^k and 20 * 2^k runs are made; 28, 36, 44
# and 52, which Plackett and Burman (1946) give too, are not (pydoe/factorial/plackett_burman.py). A way out: ask for as
# many factors as the next larger size has, and leave out columns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pydoe==1.6.0 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys

import pydoe

refused = {}
for factors in range(1, 100):
    try:
        pydoe.pbdesign(factors)
    except ValueError as error:
        refused[factors] = str(error)
print(f"refused: {sorted(refused)}")
print(f"24 factors: {refused.get(24)}")
print("expected: refused: []")
seen = len(refused) == 52 and min(refused) == 24 and set(range(48, 60)) <= set(refused)
sys.exit(not (seen and refused[24] == "Invalid inputs. n must be a multiple of 4."))
PY
