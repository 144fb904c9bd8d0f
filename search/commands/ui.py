"""Serving of MLflow's pages over an SQLite store, with the address of the newest search."""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.tracking.open_store import SQLITE, failures, set_environment
from search.tracking.view import newest_url
from spaces.errors import InputError

_START_S = 120.0
_STOP_S = 10.0
_PORTS_TRIED = 50
_UNSAFE_PORTS = (5060, 5061)  # Browsers refuse them: they belong to SIP.
_LOOPBACK = ("127.0.0.1", "localhost")
_NAME = "recipe.localhost"
"""A name that browsers resolve to this machine (RFC 6761, 6.3).

Under the usual names MLflow opens an assistant at a first visit, which pushes the verdict off the
page.
"""


def serve(uri: str, host: str, port: int) -> None:
    """Run an MLflow server until it is interrupted, and print the address of the newest search.

    The address is printed while the server starts, and a last line once it answers.

    Args:
        uri: Address of an SQLite database. For a server's address, nothing is served and only the
            newest search's address is printed.
        host: Address to listen on; any other than 127.0.0.1 lets others see and change everything.
        port: Port to listen on; the next free one is taken if it is in use.

    Raises:
        InputError: If there is no store, or no free port.
        RuntimeError: If the server does not start.
    """
    if uri.startswith(("http://", "https://")):
        try:
            print(_newest(*newest_url(uri, uri)))
        except failures() as error:
            raise InputError(f"`{uri}` must be a server that answers, but {error}.") from error
        return
    database = Path(uri.removeprefix(SQLITE))
    if not (uri.startswith(SQLITE) and database.is_file()):
        raise InputError(f"`{uri}` must be a SQLite database, which a first search makes.")
    port = free_port(host, port)
    base_url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    # Ending this process must end the server, also where `kill` does it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _server(database, host, port) as server:
        print(f"MLflow starts at {base_url} and serves {database}\n", flush=True)
        if exposure := exposed(host, port):
            print(exposure + "\n", flush=True)
        # Looked up while the server starts: both take seconds to import MLflow.
        kind, address = newest_url(uri, f"http://{_shown(host)}:{port}")
        print(f"{_newest(kind, address)}\n")
        if _NAME in address:
            print(f"Where the browser does not know {_NAME}, put 127.0.0.1 in its place.")
        print("The server starts ...", flush=True)
        _wait_until_up(server, base_url)
        print("It answers now. Ctrl-C ends the server.", flush=True)
        if _has_desktop():
            webbrowser.open(address)
        try:
            server.wait()
        except KeyboardInterrupt:
            print("\nThe server is stopped.")


def _newest(kind: str, address: str) -> str:
    what = f"Newest {kind}" if kind else "No search and no comparison yet"
    return f"{what}:\n  {address}"


def exposed(host: str, port: int) -> str:
    """Return a warning if the server can be reached from other machines, else an empty string."""
    try:
        stays = ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:
        stays = False
    if stays:
        return ""
    return (
        f"Beware: {host}:{port} asks for no password. Whoever can reach it can read, change and "
        "delete all runs, models and artifacts; an SSH tunnel to 127.0.0.1 shares it with fewer."
    )


def free_port(host: str, port: int) -> int:
    """Find the first free port from ``port`` on.

    Raises:
        InputError: If none of 50 ports is free, or ``host`` is not an address of this machine.
    """
    for candidate in range(port, min(port + _PORTS_TRIED, 65536)):
        if candidate in _UNSAFE_PORTS:
            continue
        with socket.socket() as probe:
            # As the server does: a port whose last connections are still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except socket.gaierror:
                break
            except OSError:
                continue
            return candidate
    raise InputError(f"`host` and `port` must be free on this machine, but got {host}:{port}.")


@contextmanager
def _server(database: Path, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server within the context; end it and its workers afterwards."""
    set_environment()
    folder = database.resolve().parent
    artifacts = (folder / "artifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", host, "--port", str(port)]
    command += ["--backend-store-uri", f"{SQLITE}{database.resolve()}"]
    command += ["--default-artifact-root", artifacts]
    if host in _LOOPBACK:
        names = (*_LOOPBACK, _NAME)
        command += ["--allowed-hosts", ",".join(f"{name}:*" for name in names)]
        origins = ",".join(f"http://{name}:{port}" for name in names)
        command += ["--cors-allowed-origins", origins]
    log = folder / "ui.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Without MLflow's job execution, which starts another process and is not needed.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others.
        )
        try:
            yield server
        finally:
            _end_group(server)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sent)
            server.wait(timeout=_STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _wait_until_up(server: subprocess.Popen[bytes], base_url: str) -> None:
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{base_url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(
        f"MLflow's server did not start at {base_url}; see ui.log beside the database."
    )


def _shown(host: str) -> str:
    """Return the host name for the address that is shown to the user."""
    if host in _LOOPBACK:
        # Safari asks the system, which may know no other name than `localhost`.
        return "127.0.0.1" if sys.platform == "darwin" else _NAME
    return "127.0.0.1" if host == "0.0.0.0" else host


def _has_desktop() -> bool:
    return sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
