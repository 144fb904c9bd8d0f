"""`make ui`: where the server listens, what it says, and that it ends."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from search.commands import ui
from search.records.provenance import ROOT
from search.tracking.open_store import embedded_uri
from spaces.errors import InputError
from tests.support.programs.forked import Forked


def test_a_directory_without_a_store_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mlflow\.db` must be a SQLite database, which a first"):
        ui.serve(embedded_uri(tmp_path), "127.0.0.1", 5000)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9` must be a server that answers"):
        ui.serve("http://127.0.0.1:9", "127.0.0.1", 5000)


def test_a_port_in_use_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port < ui.free_port("127.0.0.1", port) <= port + 50


def test_ports_that_browsers_refuse_are_passed_over() -> None:
    assert ui.free_port("127.0.0.1", 5060) >= 5062


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=f"must be free on this machine, but got {host}:5000"):
        ui.free_port(host, 5000)


def test_the_command_begins_without_what_takes_seconds_to_import() -> None:
    code = (
        "import sys; from search import cli; from search.commands import ui\n"
        "ui.serve = lambda uri, host, port: print(host, port)\n"
        "assert cli.main(['ui']) == 0\n"
        "costly = ('torch', 'ray', 'optuna', 'timm', 'mlflow')\n"
        "print([name for name in costly if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["127.0.0.1 5000", "[]"], done.stderr


@pytest.mark.slow
def test_the_server_names_the_newest_search_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    environment = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    module = "tests.support.programs.served_store"
    server = Forked(module, [str(tmp_path)], environment=environment)
    try:
        deadline = time.monotonic() + 60
        while len(lines := [line.strip() for line in server.lines()]) < 9:
            assert server.poll() is None, lines
            assert time.monotonic() < deadline, lines
            time.sleep(0.05)
        base_url = re.findall(r" at (http://127\.0\.0\.1:\d+)", lines[1])[0]
        named = base_url.replace("127.0.0.1", "recipe.localhost")
        assert lines[4] in {lines[0].replace("http://expected", url) for url in (base_url, named)}
        assert lines[8] == "It answers now. Ctrl-C ends the server."
        with urllib.request.urlopen(base_url, timeout=60) as page:
            assert page.status == 200
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(base_url, timeout=5)
