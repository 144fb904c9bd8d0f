"""Checkpoints in a bucket, on a cluster that wants a token: a search is killed and goes on."""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector, FileSystem, FileType

from benchmarks.driver.mlflow_server import free_port
from search.engine.cluster_answer import require_answer
from search.engine.storage import write_probe
from spaces.errors import InputError
from tests.support.cluster_control import Nodes, Search, lines
from tests.support.cluster_search import EPOCHS, NUM_TRIALS, specs

pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "a-secret-key-of-the-tests"


class Bucket:
    """A server with one bucket, which takes any key until it is told to look."""

    def __init__(self) -> None:
        self.server = f"127.0.0.1:{free_port()}"
        self.storage = self.uri("bucket")
        port = self.server.partition(":")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--port", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not self._made():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def uri(self, bucket: str) -> str:
        return f"s3://{bucket}/my%20runs?scheme=http&endpoint_override={self.server}"

    @contextmanager
    def looking_at_keys(self) -> Iterator[None]:
        self._look(b"0")
        yield
        self._look(b"inf")

    def _look(self, after_requests: bytes) -> None:
        url, kind = f"http://{self.server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        asked = urllib.request.Request(url, data=after_requests, headers=kind)
        urllib.request.urlopen(asked, timeout=5).close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _made(self) -> bool:
        asked = urllib.request.Request(f"http://{self.server}/bucket", method="PUT")
        try:
            urllib.request.urlopen(asked, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        server = Bucket()
        yield server
        server.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    """A cluster that wants a token, and where it logs."""

    nodes: Nodes
    environment: dict[str, str]
    home: Path


@pytest.fixture(scope="module")
def guarded(bucket: Bucket) -> Iterator[Guarded]:
    # Not below pytest's own directories: sockets lie there, whose paths must be short.
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    nodes = Nodes(1, environment | {"RAY_TMPDIR": str(home)})
    yield Guarded(nodes=nodes, environment=environment, home=home)
    nodes.close()
    shutil.rmtree(home, ignore_errors=True)


def test_a_killed_search_goes_on_from_a_bucket_and_leaves_neither_states_nor_keys(
    bucket: Bucket, guarded: Guarded, tmp_path: Path
) -> None:
    search = Search(
        cluster=guarded.nodes,
        path=tmp_path,
        storage=bucket.storage,
        num_nodes=2,  # There is one, so that epochs are slow enough to be interrupted.
        checkpoint_every_s=1.0,
        environment=guarded.environment,
    )
    search.start()
    try:
        search.wait_until("a checkpoint", lambda: bool(search.events("checkpoint")))
        search.process.kill()
        search.process.communicate()
        ended = {event["trial_id"] for event in search.events("end")}
        hit = {event["trial_id"] for event in search.events("checkpoint")} - ended
        assert saved_in(bucket)
        search.num_nodes = 1
        search.start()
        _, errors = search.process.communicate(timeout=200)
        assert search.process.returncode == 0, errors
    finally:
        search.process.kill()
    epochs: dict[str, list[int]] = {}
    for record in lines(tmp_path / "records.jsonl"):
        epochs.setdefault(record["trial_id"], []).append(record["epoch"])
    assert epochs == {spec.trial_id: list(range(1, EPOCHS + 1)) for spec in specs()}
    assert len(search.events("end")) == NUM_TRIALS
    told = lines(tmp_path / "told.jsonl")
    second = told[-1]["session"]
    assert second != told[0]["session"]
    assert hit
    for trial_id in hit:
        again = [t["epoch"] for t in told if (t["session"], t["trial_id"]) == (second, trial_id)]
        assert again[0] > 1, trial_id
    assert saved_in(bucket) == []
    logs = [path for path in guarded.home.rglob("logs/*") if path.is_file()]
    assert logs
    for path in [*logs, *tmp_path.rglob("*.jsonl")]:
        assert SECRET not in path.read_text(errors="replace"), path


def saved_in(bucket: Bucket) -> list[str]:
    filesystem, path = FileSystem.from_uri(bucket.storage)
    found = filesystem.get_file_info(FileSelector(path, recursive=True))
    return [f.path for f in found if f.type == FileType.File and f.path.endswith(".pt")]


def test_a_cluster_that_wants_a_token_says_so(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(InputError, match="it wants Ray's token: export RAY_AUTH_MODE=token here"):
        require_answer(guarded.nodes.address)


@pytest.mark.parametrize(
    ("case", "says"),
    [("no bucket", "Bucket 'none' not found"), ("wrong key", "AWS Error"), ("away", "AWS Error")],
)
def test_a_bucket_that_cannot_be_written_is_told_in_one_line_without_the_key(
    bucket: Bucket, case: str, says: str
) -> None:
    storage = bucket.uri("none") if case == "no bucket" else bucket.storage
    if case == "away":
        storage = storage.replace(bucket.server, f"127.0.0.1:{free_port()}")
    started = time.monotonic()
    looking = bucket.looking_at_keys() if case == "wrong key" else nullcontext()
    with looking, pytest.raises(InputError, match=says) as caught:
        write_probe(storage)
    assert time.monotonic() - started < 60
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
