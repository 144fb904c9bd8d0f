#!/usr/bin/env bash
# torch 2.15.0.
# Guess, written before it was run: who compiles nothing imports nothing of the compiler; making an AdamW takes microseconds, the
# first one too.
# Expected: no module of torch._dynamo or torch._inductor after `torch.optim.AdamW([parameter])`.
# Seen: the first optimizer of a process imports some 900 modules, among them torch._dynamo, torch._inductor, triton and SymPy, which
# takes nearly as long as `import torch` itself. In a worker that trains for seconds that is part of every start; deferring
# or avoiding what else imports torch._dynamo (torchvision does, by its ops) gains nothing.
# Why: methods of `Optimizer` are shielded from the compiler by a decorator that imports it when they are first called
# (torch/_compile.py, `_disable_dynamo`). A way out: none that is public; start workers early and keep them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
"$folder/env/bin/python" - <<'PY'
import sys
import time

started = time.perf_counter()
import torch

torch_s = time.perf_counter() - started
compiler = ("torch._dynamo", "torch._inductor")
parameter = torch.nn.Parameter(torch.zeros(1))
before = {name for name in compiler if name in sys.modules}
known = set(sys.modules)
started = time.perf_counter()
torch.optim.AdamW([parameter])
first_s = time.perf_counter() - started
new = set(sys.modules) - known
started = time.perf_counter()
torch.optim.AdamW([parameter])
second_s = time.perf_counter() - started
after = {name for name in compiler if name in sys.modules}
print(f"torch {torch.__version__}: import {torch_s:.2f} s, first AdamW {first_s:.2f} s, second {second_s:.4f} s")
print(f"the first imported {len(new)} modules; of {compiler}, before: {sorted(before)}, after: {sorted(after)}")
print("expected: none of them after either")
sys.exit(bool(before) or after != set(compiler) or len(new) < 500)
PY
