"""An address without a cluster is refused in one line, and not waited at for ever."""

import socket
from pathlib import Path

import pytest

from benchmarks.driver.mlflow_server import free_port
from search.engine.cluster_answer import require_answer
from spaces.errors import InputError

pytestmark = pytest.mark.slow  # Each asks in a process that imports Ray.


def test_where_nothing_listens_nobody_waits_for_ever() -> None:
    with pytest.raises(InputError, match=r"`ray_address` must be .* it did not answer within 4 s"):
        require_answer(f"127.0.0.1:{free_port()}", wait_s=4.0)


def test_what_listens_and_is_not_ray_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match="it did not answer within 4 s"):
            require_answer(f"127.0.0.1:{port}", wait_s=4.0)


def test_what_is_no_address_is_named_with_what_ray_says_of_it() -> None:
    with pytest.raises(InputError, match="but hello is not: Invalid address format: hello") as e:
        require_answer("hello")
    assert "\n" not in str(e.value)


def test_a_token_that_is_asked_for_and_not_there_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(InputError, match="it wants Ray's token"):
        require_answer(f"127.0.0.1:{free_port()}")
