"""A search on real images that is small enough for a test, as a process of its own."""

import os
import signal
import subprocess
import sys

from search.records.provenance import ROOT
from tests.support.programs.forked import Forked

SMALL = [
    *("--dataset", "small-transfer", "--num-train", "64", "--epochs", "5", "--num-samples", "6"),
    *("--max-blocks", "2", "--confirm-seeds", "2", "--rerun-top", "2"),
]
QUICK = [*SMALL, "--model", "test_byobnet"]
"""With a model that trains in no time, for tests of how a search starts and ends."""
NUM_SAMPLES, NUM_RERUNS = 6, 2


def heed_interrupts() -> None:
    """A shell starts what runs in the background with SIGINT ignored, and children inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def forked(arguments: list[str]) -> Forked:
    """The same without the imports, for tests that start many."""
    return Forked("search", arguments)


def finish(process: subprocess.Popen[str] | Forked) -> str:
    output, _ = process.communicate(timeout=800)
    assert process.returncode == 0, output
    return output
