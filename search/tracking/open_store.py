"""Opening of an MLflow tracking store: a server, or an embedded database made if missing."""

import logging
import os
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from search.records.passwords import hand_to_mlflow
from search.records.provenance import ROOT
from search.tracking.patience import PlainProblem
from search.tracking.store import Store, refuse_deleted
from trainable.whole_file import lock

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    # MLflow repeats a request after a time-out even if it creates a run; the search sends again
    # itself, after reading from the store which requests were carried out.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "PGCONNECT_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Bars for steps that take a fraction of a second, in the middle of our own output.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
SQLITE = "sqlite:///"
STORE_DIR = ROOT / "mlflow" / "store"
"""Directory of the embedded database, unless another store is asked for."""
_LOCK_S = 60.0


class OtherVersionError(RuntimeError):
    """Error for a part of MLflow's interface that the installed version has changed."""


def set_environment() -> None:
    """Set MLflow's environment variables unless the user has; call before importing it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def failures() -> tuple[type[Exception], ...]:
    """Return the errors that a broken, locked, slow, absent or incompatible store raises."""
    set_environment()
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    # OSError includes refused connections, full disks and time-outs.
    return (
        MlflowException,
        RequestException,
        SQLAlchemyError,
        CommandError,
        OtherVersionError,
        PlainProblem,
        sqlite3.Error,
        OSError,
    )


def embedded_uri(store_dir: Path) -> str:
    """Return the address of the database in ``store_dir``."""
    return f"{SQLITE}{store_dir.resolve() / 'mlflow.db'}"


def works_here(uri: str | None) -> bool:
    """Whether the store uses this machine's cores: an embedded database or a local server."""
    host = urlsplit(uri or "").hostname
    return host in (None, "localhost", "127.0.0.1", "::1", socket.gethostname().lower())


def open_store(uri: str | None, *, store_dir: Path, experiment: str) -> Store:
    """Open an experiment of a store; make the experiment and an embedded database if missing.

    Args:
        uri: Address of a server or a database, or None for the embedded database in ``store_dir``.
        store_dir: Directory of the embedded database; made if missing.
        experiment: Name of the experiment.
    """
    set_environment()
    uri = hand_to_mlflow(uri or embedded_uri(store_dir))
    if uri.startswith(SQLITE):
        return _open_file(Path(uri.removeprefix(SQLITE)).resolve(), experiment)
    _check_reachable(uri)
    # A server decides where artifacts go; without one MLflow would use the working directory.
    has_server = urlsplit(uri).scheme in ("http", "https")
    return _open_experiment(uri, experiment, artifacts=None if has_server else store_dir)


def _open_file(database: Path, experiment: str) -> Store:
    """Open an experiment in an SQLite database; artifacts are stored beside it."""
    database.parent.mkdir(parents=True, exist_ok=True)
    # MLflow raises if two processes make the tables of a new database at once.
    with _locked(database.with_name(database.name + ".lock")):
        _check_writable(database)
        return _open_experiment(f"{SQLITE}{database}", experiment, artifacts=database.parent)


def _open_experiment(uri: str, name: str, *, artifacts: Path | None) -> Store:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.store.model_registry"):
        # Silence the log of a new database's migrations, tracebacks of errors that are reported in
        # one line anyway, and messages about waiting for a server.
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # MLflow defines its tables in a way that newer versions of SQLAlchemy deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        client = MlflowClient(uri, registry_uri=uri)
    found = client.get_experiment_by_name(name)
    if found is not None:
        refuse_deleted(client, found)
        return Store(client, found.experiment_id)
    try:
        location = (artifacts.resolve() / "artifacts").as_uri() if artifacts else None
        return Store(client, client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        refuse_deleted(client, found)
        return Store(client, found.experiment_id)  # Another process made it first.


def _check_reachable(uri: str) -> None:
    """Raise within seconds if a server does not answer; MLflow would try for minutes."""
    parts = urlsplit(uri)
    answer_s = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    if parts.hostname and port:
        with socket.create_connection((parts.hostname, port), timeout=answer_s) as connection:
            if parts.scheme == "http":
                _await_answer(connection, f"{parts.hostname}:{port}", parts.path)
    if parts.scheme.partition("+")[0] in ("postgresql", "mysql", "mssql"):
        from sqlalchemy import create_engine

        engine = create_engine(uri)
        try:
            engine.connect().close()  # Raises on a wrong password or a missing database.
        finally:
            engine.dispose()


def _await_answer(connection: socket.socket, host: str, path: str) -> None:
    request = f"GET {path.rstrip('/')}/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    connection.recv(1)  # Any answer shows that the server works.


def _check_writable(database: Path) -> None:
    """Raise within seconds if a database cannot be written; MLflow would try for 100 seconds."""
    connection = sqlite3.connect(database, timeout=5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    deadline = time.monotonic() + _LOCK_S
    with path.open("a") as file:
        while True:
            try:
                lock(file, waits=False)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield  # Closing the file releases the lock.
