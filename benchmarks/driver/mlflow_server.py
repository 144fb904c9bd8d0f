"""An MLflow server over PostgreSQL on this machine that can hang, die and come back."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_START_S = 120.0


def postgres_binaries() -> Path | None:
    """Find the folder of the newest PostgreSQL's programs, or return None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    return found[-1].parent if found else None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def postgres(binaries: Path) -> Iterator[str]:
    """A database server with an empty database; yields the database's address."""
    # Not below pytest's own directories: PostgreSQL refuses to be root, and they are closed to
    # anybody else.
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    as_other: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    port, data = free_port(), home / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home}
    make = [binaries / "initdb", "--pgdata", data, "--username", "mlflow", "--auth", "trust"]
    subprocess.run([*as_other, *make, "--no-sync"], check=True, **quiet)  # type: ignore[call-overload]
    serve = [binaries / "postgres", "-D", data, "-p", str(port), "-k", home, "-h", "127.0.0.1"]
    server = subprocess.Popen([*as_other, *serve], **quiet)  # type: ignore[call-overload]
    try:
        _wait(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close())
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # Ends without waiting for who is connected.
        server.wait(timeout=30)
        shutil.rmtree(home)


class MlflowServer:
    """A server on one port for as long as a test lasts, through deaths and restarts.

    Args:
        database: Address of its database.
        home: Where it keeps artifacts and its log.

    Attributes:
        uri: Its address.
    """

    def __init__(self, database: str, home: Path) -> None:
        self._database = database
        self._home = home
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    @property
    def is_up(self) -> bool:
        """Whether it runs, answering or hanging."""
        return self._process is not None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--port", str(self._port), "--backend-store-uri", self._database]
        command += ["--artifacts-destination", str(self._home / "artifacts")]
        environment = os.environ | {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                cwd=self._home,
                start_new_session=True,
            )
        _wait(lambda: urllib.request.urlopen(f"{self.uri}/health", timeout=2).close())

    def hang(self) -> None:
        """Take every request and answer none."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Work off what was taken while it hung."""
        self._signal(signal.SIGCONT)

    def die(self) -> None:
        """Break off in the middle of whatever it does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._signal(signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


def _wait(answers: Callable[[], object]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            answers()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _version(initdb: Path) -> int:
    return int(initdb.parent.parent.name)
