"""A cluster of processes of this machine, and a search on it that a test watches and disturbs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.records.provenance import ROOT
from tests.support.programs.forked import Forked


def program(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"} | dict(environment or {}),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class Nodes:
    """A cluster of so many nodes with one core each; the head is the first."""

    def __init__(self, num_nodes: int, environment: Mapping[str, str] | None = None) -> None:
        self._process = program(
            "tests.support.cluster_nodes", str(num_nodes), environment=environment
        )
        self.address, *self.ids = self._answer().split()

    def add(self) -> str:
        return self._answer("add")

    def kill(self, node: str) -> None:
        assert self._answer(f"kill {node}") == "killed"

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self, line: str = "") -> str:
        assert self._process.stdin
        assert self._process.stdout
        if line:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, self._process.communicate()[1]
        return answer


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass(kw_only=True)
class Search:
    """A search that a test watches and disturbs.

    Attributes:
        num_nodes: Nodes that are to have had a trial before epochs are fast.
        checkpoint_every_s: Seconds between checkpoints of a trial.
    """

    cluster: Nodes
    path: Path
    storage: str
    num_nodes: int
    checkpoint_every_s: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | Forked = field(init=False)

    def start(self) -> None:
        words = [self.cluster.address, str(self.path), self.storage, str(self.num_nodes)]
        words.append(str(self.checkpoint_every_s))
        module = "tests.support.cluster_search"
        if self.environment:  # Ray reads its settings when it is imported.
            self.process = program(module, *words, environment=self.environment)
        else:
            self.process = Forked(module, words, has_one_output=False)

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert self.process.poll() is None, f"before {what}: {self.process.communicate()[1]}"
            assert time.monotonic() < deadline, f"never {what}"
            time.sleep(0.02)

    def events(self, kind: str) -> list[dict[str, Any]]:
        text = self.path / "trials.jsonl"
        whole = text.read_text().rpartition("\n")[0].splitlines() if text.exists() else []
        return [event for event in map(json.loads, whole) if event["event"] == kind]

    def nodes(self) -> set[str]:
        return {event["node"] for event in self.events("place")}

    def running_on(self, node: str) -> list[str]:
        """Trials that have a checkpoint and work on a node."""
        last = {event["trial_id"]: event["node"] for event in self.events("place")}
        saved = {event["trial_id"] for event in self.events("checkpoint")}
        ended = {event["trial_id"] for event in self.events("end")}
        return [t for t, where in last.items() if where == node and t in saved - ended]
