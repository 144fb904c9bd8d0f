"""Real processes that hang or are hung up on; docs/reliability.md has what was measured."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
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


SMALL_SHM = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs -o size=64m none /dev/shm && exec "$@"',
    "sh",
)
"""Begins a command that has 64 MB of shared memory, as a container has by default."""


def test_a_dataset_larger_than_dev_shm_is_trained_on(tmp_path: Path) -> None:
    """The plan has told that Ray's store lies on disk; see `search.plan.holdings`."""
    if os.geteuid() or subprocess.run([*SMALL_SHM, "true"], check=False).returncode != 0:
        pytest.skip("only root may mount a file system")
    it = toy(tmp_path)
    process = it.start_within(SMALL_SHM, "run", epoch_s=0.01, TOY_SCALE="3000")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    require_whole(it.run)


def has_records(it: Toy, number: int) -> bool:
    return len(it.records) >= number


@pytest.mark.parametrize("seed", range(4))
def test_five_kills_without_warning_cost_epochs_and_no_result(tmp_path: Path, seed: int) -> None:
    """Twenty in all: SIGKILL of the driver, at records that are drawn."""
    rng = random.Random(seed)
    it = toy(tmp_path)
    command, most = "run", 90
    kills = sorted(rng.sample(range(4, most), 5))
    for kill_at in kills:
        process = it.start(command, epoch_s=0.05)
        wait_for(partial(has_records, it, kill_at), process)
        process.kill()
        process.communicate(timeout=60)
        command = "resume"
    process = it.start("resume", epoch_s=0.01)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    require_whole(it.run)
    require_mirrored(it.run, it.uri)
    begun = Counter((trial_id, epoch) for trial_id, epoch, _ in it.trained)
    doubled = sum(begun.values()) - len(begun)
    failing = sum(count - 1 for (trial_id, _), count in begun.items() if trial_id == BROKEN)
    places = os.cpu_count() or 1
    # Each kill may cost the epochs of every place since its last checkpoint, one old here.
    print(f"kills {kills}: {doubled - failing} of {len(begun)} epochs twice")
    assert doubled - failing <= len(kills) * places * 2
