"""A password in an address is used, and is in no file, log, message or store afterwards."""

import base64
import http.server
import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from search.cli import main
from search.commands import pipeline
from search.commands.job import Job, Session
from search.commands.search import SEARCH
from search.commands.train.command import Place, go_on_command
from search.plan.config_file import read_config, write_config
from search.records.files import read_json, write_json
from search.records.passwords import (
    MASK,
    hand_to_mlflow,
    refuse_passwords,
    require_address,
    with_password,
    without_passwords,
)
from search.tracking.tracker import Tracker
from spaces.errors import InputError
from tests.support import finished_run
from tests.support.toy_training import toy_dataset, write_run

CANARY = "hunter2-c4n4ry"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://u:pw@h:5000/x", "http://u:***@h:5000/x"),
        ("http://:pw@h", "http://:***@h"),
        ("postgresql://u:p/w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@w@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h/db?password=pw&x=1", "postgresql://u@h/db?password=***&x=1"),
        ("s3://KEY:sec@b/p?region=r", "s3://KEY:***@b/p?region=r"),
        ("s3://b/p?secret_key=sec;a=1", "s3://b/p?secret_key=***;a=1"),
        ("https://a.blob/x?sv=1&sig=abc", "https://a.blob/x?sv=1&sig=***"),
        ("at 'http://u:pw@h' and mysql://v:qw@i", "at 'http://u:***@h' and mysql://v:***@i"),
        ("host=h user=u password=pw", "host=h user=u password=***"),
        ("http://u:***@h", "http://u:***@h"),
        ("http://u:12345@h", "http://u:***@h"),
    ],
)
def test_a_password_is_masked_and_nothing_else(given: str, shown: str) -> None:
    assert without_passwords(given) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000",
        "http://host:5000/a@b",
        "sqlite:////home/a:b@c/mlflow.db",
        "postgresql://user@host:5432/db",
        "mail a@b: lr=0.1, num_keys=3, monkey=1",
        "",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert without_passwords(text) == text


@pytest.mark.parametrize("name", ["storage", "ray_address"])
def test_what_ray_writes_down_must_hold_no_password(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold no password or key") as caught:
        finished_run.a_config(tmp_path, **{name: f"s3://key:{CANARY}@bucket/x"})
    assert CANARY not in str(caught.value)
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value)
    refuse_passwords(name, "s3://bucket/x?region=eu-1")
    refuse_passwords(name, None)


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://u:{CANARY}/x@h/db",
        f"http://u:{CANARY}@x@h",
        f"http://u:{CANARY}@h:port/",
        "http://[x",
    ],
)
def test_an_address_must_say_where_its_password_ends(address: str) -> None:
    with pytest.raises(InputError, match="written as %40 %3A %2F") as caught:
        require_address("tracking_uri", address)
    assert CANARY not in str(caught.value)


def test_a_config_keeps_the_address_and_not_the_password(tmp_path: Path) -> None:
    uri = f"http://user:{CANARY}@host:5000"
    config = finished_run.a_config(tmp_path, tracking_uri=uri)
    assert config.tracking_uri == uri
    kept = config.to_dict()["tracking_uri"]
    assert kept == f"http://user:{MASK}@host:5000"
    assert CANARY not in repr(config)
    config.path.mkdir()
    write_config(config, begins=True)
    assert read_config(config.path).tracking_uri == kept


NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None of MLflow's variables; what a test sets, also through our code, is undone."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_password_comes_back_from_the_environment_or_is_asked_for(
    environment: pytest.MonkeyPatch,
) -> None:
    assert with_password(None) is None
    assert with_password("http://u:p@h") == "http://u:p@h"
    with pytest.raises(InputError, match="kept nowhere: give `--tracking-uri` with it again"):
        with_password(f"http://u:{MASK}@h:1/x")
    environment.setenv("MLFLOW_TRACKING_USERNAME", "u")
    environment.setenv("MLFLOW_TRACKING_PASSWORD", "p@/:")
    assert with_password(f"http://u:{MASK}@h:1/x") == "http://u:p%40%2F%3A@h:1/x"
    with pytest.raises(InputError, match="kept nowhere"):
        with_password(f"postgresql://u:{MASK}@h/db")
    environment.setenv("MLFLOW_TRACKING_URI", "postgresql://u:pw@h/db")
    assert with_password(f"postgresql://u:{MASK}@h/db") == "postgresql://u:pw@h/db"
    with pytest.raises(InputError, match="kept nowhere"):
        with_password(f"postgresql://u:{MASK}@elsewhere/db")


def test_going_on_without_the_password_is_one_line(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs")
    asked = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {**asked, "tracking_uri": f"http://u:{MASK}@h"})
    assert main(["resume", "--run", str(run)]) == 2
    said = capsys.readouterr().err
    assert "The password of http://u:***@h is kept nowhere" in said
    assert len(said.splitlines()) == 1


class Refuses(http.server.BaseHTTPRequestHandler):
    """A server that answers nothing, and remembers who asked."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization"))
        self.send_error(500, "out of order")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        Refuses.asked.clear()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()


def test_the_server_gets_the_password_and_nobody_else_does(
    server: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = f"http://user:{CANARY}@{server}"
    with caplog.at_level(logging.DEBUG, logger="search"):
        tracker = Tracker(uri, store_dir=tmp_path, experiment="mine", run_name="r1")
    expected = base64.b64encode(f"user:{CANARY}".encode()).decode()
    assert f"Basic {expected}" in Refuses.asked
    assert tracker.problems
    seen = "\n".join([*tracker.problems, caplog.text, *capfd.readouterr()])
    assert "out of order" in seen or "500" in seen
    assert CANARY not in seen


@pytest.mark.parametrize("scheme", ["http", "postgresql", "nonsense"])
def test_a_run_that_fails_tells_everything_but_the_password(
    scheme: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the command line to every file: the search itself is replaced by one that fails."""
    uri = f"{scheme}://user:{CANARY}@127.0.0.1:9/db"
    plan = finished_run.a_plan()

    def fails(job: Job, session: Session) -> None:
        config = session.config
        logging.getLogger("somebody").error("cannot reach %s", config.tracking_uri)
        raise OSError(f"no answer from {config.tracking_uri}")

    job = replace(SEARCH, make_plan=lambda _: (plan, toy_dataset()), show=lambda *given: [])
    environment.setattr(pipeline, "SEARCH", job)
    dataset = replace(toy_dataset(), digest=plan.data.digest)
    environment.setattr(pipeline, "load_images", lambda *given, **more: dataset)
    environment.setattr(pipeline, "STORE_DIR", tmp_path / "store")
    environment.setattr(pipeline, "_train", fails)
    command = ["--run-dir", str(tmp_path / "runs"), "--tracking-uri", uri]
    assert main(["run", "--dataset", "digits", "--run-name", "r1", *command]) == 1
    assert main(["resume", "--run", "r1", *command]) == 1
    run = tmp_path / "runs" / "r1"
    assert read_json(run / "config.json")["tracking_uri"] == f"{scheme}://user:***@127.0.0.1:9/db"
    log = (run / "log.txt").read_text()
    assert f"no answer from {scheme}://user:***@127.0.0.1:9/db" in log
    assert "Traceback" in log
    said = "\n".join(capfd.readouterr())
    assert f"no answer from {scheme}://user:***@127.0.0.1:9/db" in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in said


def test_a_training_run_says_how_to_go_on_without_the_password(tmp_path: Path) -> None:
    place = Place(
        run_dir=tmp_path,
        run_name="r1",
        tracking_uri=f"http://user:{CANARY}@host",
        store_dir=tmp_path,
        experiment="mine",
    )
    said = go_on_command(place, "r1")
    assert "TRACKING_URI='http://user:***@host'" in said
    assert CANARY not in said + repr(place)


def test_mlflow_gets_the_password_in_its_own_variables(environment: pytest.MonkeyPatch) -> None:
    assert hand_to_mlflow("postgresql://u:p@h/db") == "postgresql://u:p@h/db"
    assert hand_to_mlflow("http://u@h/x") == "http://u@h/x"
    assert hand_to_mlflow("https://u:p%40@h:1/x?y=1") == "https://h:1/x?y=1"
    assert [os.environ.get(name) for name in NAMES] == [None, "u", "p@"]
