#!/usr/bin/env bash
# ray 2.60.0.
# Guess, written before it was run: a program, or a notebook, that sets RAY_AUTH_MODE and RAY_AUTH_TOKEN in `os.environ` can connect to
# a cluster that wants this token as long as it does so before `ray.init`.
# Expected: connected, whether they are set before or after `import ray`.
# Seen: connected only if they are set before the import; after it `ray.init` tries for 20 s and ends with "ConnectionError:
# Failed to connect to Ray cluster", which says nothing of a token.
# Why: Ray's core reads its settings from the environment once, when its library is loaded, and `ray.init` reads the mode from
# these (ray/_private/authentication/authentication_token_setup.py). A way out: export them before Python starts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "ray==2.60.0" 2>"$folder/pip.txt" ||
  { cat "$folder/pip.txt" >&2; exit 2; }
export HOME="$folder"  # A token of the user's own may lie in the real one.
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_ADDRESS
"$folder/env/bin/python" - <<'PY'
import importlib.metadata
import json
import os
import subprocess
import sys

token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
start = "import ray; print(ray.init(num_cpus=1, include_dashboard=False).address_info['gcs_address'], flush=True); input()"
quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
cluster = subprocess.Popen([sys.executable, "-c", start], env=os.environ | token, **quiet)
address = cluster.stdout.readline().strip()
imports, sets = "import ray", "import json, os, sys; os.environ.update(json.loads(sys.argv[2]))"
connects = "ray.init(address=sys.argv[1], log_to_driver=False); print('connected')"
seen = {}
for order, steps in {"set, then import": (sets, imports), "import, then set": (imports, sets)}.items():
    words = [sys.executable, "-c", "; ".join([*steps, connects]), address, json.dumps(token)]
    done = subprocess.run(words, capture_output=True, text=True)
    error = done.stderr.strip().splitlines()[-1].partition(" at ")[0] if done.returncode else ""
    seen[order] = "connected" if "connected" in done.stdout else error
cluster.stdin.close()
cluster.wait()
print(f"ray {importlib.metadata.version('ray')}: {seen}")
print("expected: connected both times")
sys.exit(list(seen.values()) != ["connected", "ConnectionError: Failed to connect to Ray cluster"])
PY
