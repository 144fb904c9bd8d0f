"""Real processes that hang or are hung up on; docs/reliability.md has what was measured."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.whole_run import require_mirrored, require_whole, whole_lines
from tests.whole.test_crashes import BROKEN, Toy, children, toy, wait_for

pytestmark = [
    pytest.mark.stress,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]


def ends_of(it: Toy) -> dict[str, dict[str, str]]:
    events = [json.loads(line) for line in whole_lines(it.run / "trials.jsonl")]
    return {e["trial_id"]: e for e in events if e["event"] == "end"}


def test_a_worker_that_hangs_is_noticed_and_its_trial_fails_when_it_always_does(
    tmp_path: Path,
) -> None:
    it = toy(tmp_path)
    asked = json.dumps({"hang_timeout_s": 6.0})
    process = it.start("run", epoch_s=0.05, TOY_HUNG="search-0003", TOY_ASKED=asked)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert "search-0003 is taken from its worker: its worker reported nothing for" in output
    ends = ends_of(it)
    assert {name for name, end in ends.items() if end["status"] == "failed"} == {
        "search-0003",
        BROKEN,
    }
    assert "counts as hung" in ends["search-0003"]["reason"]
    require_whole(it.run)
    require_mirrored(it.run, it.uri)


def test_a_budget_ends_a_search_though_a_worker_hangs(tmp_path: Path) -> None:
    it = toy(tmp_path)
    asked = json.dumps({"time_budget_s": 45.0})
    process = it.start("run", epoch_s=0.05, TOY_HUNG="search-0003", TOY_ASKED=asked)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    end = ends_of(it)["search-0003"]
    assert (end["status"], end["reason"]) == ("stopped", "stopped in epoch 2: the time was up")
    require_whole(it.run)


@pytest.mark.parametrize("whom", ["driver", "everybody"])
def test_a_terminal_that_is_closed_leaves_a_run_that_goes_on(tmp_path: Path, whom: str) -> None:
    it = toy(tmp_path)
    process = it.start("run", epoch_s=0.2)
    wait_for(lambda: len(it.records) >= 8, process)
    below = list(children(process.pid))
    started = time.monotonic()
    if whom == "driver":
        os.kill(process.pid, signal.SIGHUP)
    else:  # The group of the foreground, as the kernel tells it.
        os.killpg(process.pid, signal.SIGHUP)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    line = output.splitlines()[-1]
    assert line == f"Interrupted. Go on with: make resume RUN={it.run}"
    assert line in (it.run / "log.txt").read_text()
    wait_until_gone(below, started)
    again = it.start("resume", epoch_s=0.01)
    output, _ = again.communicate(timeout=400)
    assert again.returncode == 0, output
    require_whole(it.run)
    require_mirrored(it.run, it.uri)


def wait_until_gone(pids: list[int], started: float) -> None:
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() - started < 60.0, alive
        time.sleep(0.1)


def test_a_second_ctrl_c_while_a_run_closes_costs_nothing(tmp_path: Path) -> None:
    it = toy(tmp_path)
    process = it.start("run", epoch_s=0.2)
    wait_for(lambda: len(it.records) >= 8, process)
    below = list(children(process.pid))
    log = it.run / "log.txt"
    os.killpg(process.pid, signal.SIGINT)
    wait_for(lambda: "Interrupted. Go on with" in log.read_text(), process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == f"Interrupted. Go on with: make resume RUN={it.run}"
    assert "Traceback" not in output
    wait_until_gone(below, time.monotonic())
