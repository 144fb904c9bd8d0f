"""``import search`` answers at once: nothing heavy is loaded before something is run."""

import json
import subprocess
import sys

from search.records.provenance import ROOT

HEAVY = {"torch", "ray", "mlflow", "optuna", "pandas", "numpy", "matplotlib", "timm", "PIL", "rich"}


def loaded_by(program: str) -> set[str]:
    program = f"{program}\nimport json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_search_and_looking_at_its_names_loads_nothing_heavy() -> None:
    assert not loaded_by("import search; names = dir(search)") & HEAVY
    assert not loaded_by("import search; assert callable(search.plan)") & HEAVY


def test_a_public_function_loads_what_it_needs() -> None:
    # The test above would pass on an empty package.
    assert {"torch", "ray", "pandas"} <= loaded_by("import search; search.run")
