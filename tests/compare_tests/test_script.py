"""One run of a script: what it is given, how long it may take, and what is known when it ended."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.commands.compare.asked.configurations import Configuration
from search.commands.compare.asked.measuring import measure_of
from search.commands.compare.script import Outcome, ScriptRun, execute
from search.records.files import read_json
from search.records.strict_json import build

GOOD = """
import json, os, sys, yaml
config = yaml.safe_load(open(sys.argv[1]))
print("hello", os.getcwd())
json.dump({"acc": config["lr"] * 2 + int(sys.argv[2])}, open(sys.argv[3] + "/r.json", "w"))
"""


def run(tmp_path: Path, source: str, **more: Any) -> tuple[ScriptRun, Outcome]:
    script = tmp_path / "t.py"
    script.write_text(source)
    asked = ScriptRun(
        **{  # type: ignore[arg-type]
            "run_id": "attribute-0003",
            "directory": str(tmp_path / "runs" / "attribute-0003"),
            "words": (sys.executable, str(script), "{config}", "{seed}", "{dir}", "{fold}"),
            "configuration": Configuration(values={"lr": 0.25}, format="yaml"),
            "seed": 7,
            "fold": 2,
            "measures": (measure_of("{dir}/r.json:acc"),),
            "time_limit_s": 60.0,
            "working_dir": str(tmp_path),
        }
        | more
    )
    return asked, execute(asked)


def test_a_script_gets_its_configuration_and_leaves_its_number(tmp_path: Path) -> None:
    asked, outcome = run(tmp_path, GOOD)
    assert outcome.is_done
    assert outcome.exit_code == 0
    assert outcome.metrics == {"{dir}/r.json:acc": 7.5}
    directory = Path(asked.directory)
    assert (directory / "log.txt").read_text() == f"hello {tmp_path.resolve()}\n"
    assert (directory / "config.yaml").read_text() == "lr: 0.25\n"
    # What a driver that was killed finds later is the very same.
    assert build(Outcome, read_json(directory / "exit.json"), where="exit.json") == outcome


def test_the_configuration_may_come_as_flags(tmp_path: Path) -> None:
    source = "import json, sys; json.dump({'acc': len(sys.argv)}, open(sys.argv[-1], 'w'))"
    asked, outcome = run(
        tmp_path,
        source,
        words=(sys.executable, str(tmp_path / "t.py"), "{args}", "{dir}/r.json"),
        configuration=Configuration(values={"lr": 0.1, "amp": True}, format="yaml"),
    )
    assert asked.command[2:5] == ["--lr", "0.1", "--amp"]
    assert outcome.metrics == {"{dir}/r.json:acc": 5.0}


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("raise ValueError('no such model')", 1, "exit code 1: ValueError: no such model"),
        ("import os; os.kill(os.getpid(), 9)", -9, "signal 9, and printed nothing"),
        ("print('done')", 0, "left no result: .*r.json is not there"),
    ],
)
def test_a_run_without_a_result_says_why(tmp_path: Path, source: str, code: int, says: str) -> None:
    _, outcome = run(tmp_path, source)
    assert not outcome.is_done
    assert outcome.exit_code == code
    assert outcome.metrics == {}
    assert re.search(says, outcome.problem)


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, "", words=("no-such-program", "{config}"))
    assert outcome.exit_code is None
    assert "`no-such-program` cannot be started: No such file" in outcome.problem


def test_after_its_time_a_script_ends_with_all_that_it_started(tmp_path: Path) -> None:
    source = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    _, outcome = run(tmp_path, source, time_limit_s=3.0)
    assert "ended after its time limit of 3 s" in outcome.problem
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10.0
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # Ended, and only not yet collected by whoever adopted it.


def test_an_mlflow_run_of_the_script_is_read_from_a_store_of_its_own(tmp_path: Path) -> None:
    source = """
import logging; logging.disable(logging.CRITICAL)
import mlflow
with mlflow.start_run():
    for step, value in enumerate([0.25, 0.75, 0.5]):
        mlflow.log_metric("acc", value, step=step)
"""
    texts = ("mlflow:acc", "mlflow:acc@best")
    asked, outcome = run(
        tmp_path, source, measures=tuple(map(measure_of, texts)), time_limit_s=None
    )
    assert outcome.problem == ""
    assert outcome.metrics == {"mlflow:acc": 0.5, "mlflow:acc@best": 0.75}
    assert Path(asked.directory, "mlflow.db").is_file()
    assert json.loads((Path(asked.directory) / "exit.json").read_text())["exit_code"] == 0


def test_a_worker_that_only_runs_a_script_loads_no_library_of_training() -> None:
    """Torch takes seconds and half a gigabyte, in each of as many workers as there are places."""
    program = (
        "import sys, search.commands.compare.script; "
        "print({'torch', 'timm', 'ray', 'mlflow', 'optuna', 'pandas'} & set(sys.modules))"
    )
    words = [sys.executable, "-c", program]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("source", "is_missing"),
    [
        ("pass", True),
        ("import sys; open(sys.argv[3] + '/r.json', 'w').write('{\"other\": 1}')", True),
        ("import sys; open(sys.argv[3] + '/r.json', 'w').write('{\"acc\": NaN}')", False),
        ("raise SystemExit(3)", False),
    ],
)
def test_a_result_that_is_not_there_is_told_from_a_training_that_failed(
    tmp_path: Path, source: str, is_missing: bool
) -> None:
    _, outcome = run(tmp_path, source)
    assert not outcome.is_done
    assert outcome.is_missing is is_missing
