#!/usr/bin/env bash
# ray 2.60.0.
# Guess, written before it was run: a program, or a notebook, that sets RAY_AUTH_MODE and RAY_AUTH_TOKEN in `os.environ` can connect to
# a cluster that wants this token as long as it does so before `ray.init`.
# Expected: connected, whether they are set before or after `import ray`.
# Seen: connected if the mode is set before the import, whenever the token is; not if the mode is set after it. Then `ray.init` ends
# with "ConnectionError: Failed to connect to Ray cluster", which says nothing of a token.
# Why: Ray's core reads its settings, the mode among them, from the environment when its library is loaded, and the token when it
# connects (ray/_private/authentication/authentication_token_setup.py). A way out: export the mode before Python starts.
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
imports = "import ray"
sets = "import json, os, sys; given = json.loads(sys.argv[2]); os.environ.update(given)"
sets_mode = sets.replace("given)", "{'RAY_AUTH_MODE': given['RAY_AUTH_MODE']})")
connects = "ray.init(address=sys.argv[1], log_to_driver=False); print('connected')"
seen = {}
orders = {
    "both, then import": (sets, imports),
    "mode, then import, then token": (sets_mode, imports, sets),
    "import, then both": (imports, sets),
}
for order, steps in orders.items():
    words = [sys.executable, "-c", "; ".join([*steps, connects]), address, json.dumps(token)]
    done = subprocess.run(words, capture_output=True, text=True)
    error = done.stderr.strip().splitlines()[-1].partition(" at ")[0] if done.returncode else ""
    seen[order] = "connected" if "connected" in done.stdout else error
cluster.stdin.close()
cluster.wait()
print(f"ray {importlib.metadata.version('ray')}: {seen}")
print("expected: connected each time")
sys.exit(list(seen.values()) != ["connected", "connected", "ConnectionError: Failed to connect to Ray cluster"])
PY
