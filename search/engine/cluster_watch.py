"""A watch on the Ray cluster of a run, which ends the run in order if the cluster is lost.

Ray waits a minute for a dead control store, often in a call that no signal interrupts, and then
ends the whole process from C++. Nothing is raised that could be caught.
"""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import ray

from search.records.command_line import next_command

EVERY_S = 1.0
"""Seconds between two checks."""
CONNECT_S = 5.0
"""Seconds that a connection attempt may take."""
GRACE_S = 5.0
"""Seconds that the main thread has to stop before the process is ended."""


class ClusterLost(RuntimeError):  # noqa: N818  Named for the event, as it reads where raised.
    """The Ray cluster of a run is lost; the message names the command to resume."""


class ClusterWatch:
    """A context that interrupts the main thread by SIGTERM once the cluster is lost.

    It connects at intervals to the two parts that a driver needs: the control store (GCS) and the
    node manager of its own machine. SIGTERM must raise `KeyboardInterrupt` meanwhile
    (`search.commands.session.interruptible`).

    Args:
        run_dir: Directory of the run, for the message.
        logs: Directory of Ray's logs on this machine, for the message; None for a cluster that
            somebody else started.
        patience_s: Seconds that the control store may be unreachable, so that the head of a
            shared cluster can restart; below 60, after which Ray ends the process.

    Raises:
        ClusterLost: On leaving the context, if the cluster is lost, in place of other errors.
    """

    def __init__(self, run_dir: Path, *, logs: Path | None, patience_s: float) -> None:
        context = ray.get_runtime_context()
        host, _, port = context.gcs_address.rpartition(":")
        nodes = {node["NodeID"]: node for node in ray.nodes()}  # type: ignore[no-untyped-call]
        own = nodes[context.get_node_id()]
        self._run_dir = run_dir
        self._logs = logs
        self._parts = {
            "its control store": (host.strip("[]"), int(port)),
            "its node manager on this machine": (
                own["NodeManagerAddress"],
                int(own["NodeManagerPort"]),
            ),
        }
        # A lost node manager does not come back during the life of a driver.
        self._patience_s = dict(zip(self._parts, (patience_s, 2 * EVERY_S), strict=True))
        self._lost: ClusterLost | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="cluster watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if error is not None and self._lost is None:
            # The error may have been caused by a loss that the watch has not noticed yet.
            gone = [name for name, address in self._parts.items() if not _answers(address)]
            self._lost = self._loss(gone[0]) if gone else None
        if self._lost is not None:
            raise self._lost from None

    def _watch(self) -> None:
        seen = dict.fromkeys(self._parts, time.monotonic())
        while not self._is_over.wait(EVERY_S):
            for name, address in self._parts.items():
                if _answers(address):
                    seen[name] = time.monotonic()
                elif time.monotonic() - seen[name] > self._patience_s[name]:
                    self._lost = self._loss(name)
                    os.kill(os.getpid(), signal.SIGTERM)
                    if not self._is_over.wait(GRACE_S):
                        leave(self._lost)
                    return

    def _loss(self, name: str) -> ClusterLost:
        logs = f" Ray's own logs are in {self._logs}." if self._logs else ""
        return ClusterLost(
            f"The Ray cluster is gone: {name} does not answer.{logs} "
            f"Go on with: {next_command('resume', RUN=self._run_dir)}"
        )


def leave(lost: ClusterLost) -> NoReturn:
    """Print the loss and end this process at once.

    The journal is on disk already; without its cluster, Ray's own clean-up at exit hangs for a
    minute or aborts.
    """
    sys.stdout.flush()
    print(lost, file=sys.stderr, flush=True)
    os._exit(1)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=CONNECT_S).close()
    except OSError:
        return False
    return True
