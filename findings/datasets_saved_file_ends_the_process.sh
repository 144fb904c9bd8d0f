#!/usr/bin/env bash
# datasets 5.2.0, pyarrow 25.0.1.
# Guess, written before it was run: `load_from_disk` of a folder in which four bytes of the .arrow file are wrong raises an
# exception, when it is opened or when a row is read.
# Expected: an exception of Python.
# Seen: it opens, and reading a row ends the process by a signal (SIGBUS or SIGSEGV), past any `except`.
# Why: the file is mapped into memory, and offsets of binary columns are trusted (datasets/table.py); pyarrow checks them only
# when asked. A way out: `dataset.data.validate(full=True)` after opening, which raises `ArrowInvalid`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==25.0.1 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - "$folder/saved" <<'PY'
import itertools
import pathlib
import struct
import sys

import datasets

cells = [bytes([65 + i]) * (100 + i) for i in range(12)]
features = datasets.Features({"content": datasets.Value("binary")})
datasets.Dataset.from_dict({"content": cells}, features=features).save_to_disk(sys.argv[1])
file = next(pathlib.Path(sys.argv[1]).glob("*.arrow"))
ends = [0, *itertools.accumulate(len(cell) for cell in cells)]
offsets = struct.pack(f"<{len(ends)}i", *ends)
content = file.read_bytes()
assert content.count(offsets) == 1
file.unlink()
file.write_bytes(content.replace(offsets, offsets[:-4] + b"\x7f" * 4))
PY
read_it='import datasets, sys; d = datasets.load_from_disk(sys.argv[1]); print("opened"); print(len(d[11]["content"]))'
rc=0
"$folder/env/bin/python" -c "$read_it" "$folder/saved" 2>"$folder/err.txt" || rc=$?
echo "exit status: $rc (an exception would be 1, a signal is above 128)"
echo "expected: 1"
[ "$rc" -gt 128 ]
