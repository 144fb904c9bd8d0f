"""A run directory of somebody else: it is gone on with, and tells none of our secrets to anybody.

Every secret is a canary in the environment, and every server one of this machine that keeps what it
is sent.
"""

import base64
import json
import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from search.cli import main
from search.commands import pipeline
from search.commands.errors import RunInterrupted
from search.commands.search import SEARCH
from search.commands.train.job import read_job
from search.plan.config_file import read_config, write_config
from search.plan.stage_size import STARTUP_S
from search.records.files import only_driver, read_json, write_json
from search.records.home import Home
from spaces.errors import InputError
from tests.support import finished_run
from tests.support.toy_training import toy_dataset, write_run
from trainable.data import image_cache
from trainable.data.image_cache import load_images
from trainable.data.image_sources import ArraySource

CANARY = "canary-7d1f"


class Keeps(socketserver.BaseRequestHandler):
    """A server that keeps what it is sent and answers nothing."""

    heard: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.request.settimeout(0.5)
        self.heard.append(b"")  # That somebody came is worth knowing too.
        try:
            while data := self.request.recv(65536):
                self.heard.append(data)
                if b"\r\n\r\n" in data:
                    self.request.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def server() -> Iterator[str]:
    with _Server(("127.0.0.1", 0), Keeps) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        Keeps.heard.clear()
        yield f"127.0.0.1:{made.server_address[1]}"
        made.shutdown()


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are interrupted right after their start, as soon as the store was told of them."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    digest = finished_run.a_plan().data.digest
    dataset = replace(toy_dataset(), digest=digest)
    monkeypatch.setattr(pipeline, "load_images", lambda *given, **more: dataset)
    monkeypatch.setattr(pipeline, "STORE_DIR", tmp_path / "store")

    def interrupted(job: object, session: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_train", interrupted)
    monkeypatch.chdir(tmp_path)


def unfinished(root: Path, **asked: Any) -> Path:
    run = write_run(root)
    (run / "verdict.json").unlink()
    write_json(run / "config.json", {**read_json(run / "config.json"), **asked})
    return run


def places_of(server: str) -> dict[str, Any]:
    return {
        "tracking_uri": f"http://{server}",
        "storage": f"s3://bucket/runs?scheme=http&endpoint_override={server}",
    }


def homes(run: Path) -> dict[str, Any]:
    """What somebody could write into the config of a directory that is unpacked here."""
    stat = run.stat()
    right = {"path": str(run), "device": stat.st_dev, "inode": stat.st_ino, "has_begun": True}
    return {
        "none": None,
        "relative": {**right, "path": os.path.relpath(run)},
        "another device": {**right, "device": stat.st_dev + 1},
        "another inode": {**right, "inode": stat.st_ino + 1},
    }


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("home", ["none", "relative", "another device", "another inode"])
def test_a_foreign_run_reaches_no_server_of_its_own(
    home: str, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it names a relative place, which is right wherever it is unpacked."""
    run = unfinished(tmp_path / "runs", run_dir="runs", run_name="r1", **places_of(server))
    config = read_json(run / "config.json")
    write_json(run / "config.json", {**config, "home": homes(run)[home]})
    assert main(["resume", "--run", str(run)]) == 130
    assert Keeps.heard == []
    said = capsys.readouterr().out
    assert "was not made here, so its storage, tracking_uri, data_dir no longer count" in said
    assert server not in said
    # Nor on the second time, when it is at home: what it named is gone.
    assert main(["resume", "--run", str(run)]) == 130
    assert Keeps.heard == []
    assert server not in (run / "config.json").read_text()


@pytest.mark.usefixtures("stopped")
def test_what_the_user_typed_is_told_before_it_is_contacted_and_gets_the_credentials(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The canary sings: had it been sent above, it would have been heard."""
    run = unfinished(tmp_path / "runs", home=None)
    typed = ["resume", "--run", str(run), "--tracking-uri", f"http://{server}"]
    assert main(typed) == 130
    sent = b"".join(Keeps.heard)
    encoded = base64.b64encode(f"{CANARY}:{CANARY}".encode())
    assert encoded in sent or CANARY.encode() in sent
    assert f"Talks to: MLflow at http://{server}." in capsys.readouterr().out
    # It is at home now, with what was typed for it here.
    Keeps.heard.clear()
    assert main(["resume", "--run", str(run)]) == 130
    assert Keeps.heard != []


def test_a_copy_of_a_run_is_not_at_home(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    config = write_config(replace(read_config(run), tracking_uri="http://host.example"))
    assert read_config(run) == config
    aside = run.rename(tmp_path / "runs" / "aside")
    shutil.copytree(aside, run)  # The same path, another directory.
    assert read_config(run).tracking_uri is None
    shutil.rmtree(run)
    aside.rename(run)
    assert read_config(run) == config


def test_a_home_is_this_directory_by_whatever_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    home = Home.at(tmp_path / "link", has_begun=True)
    assert home.path == str(tmp_path / "run")
    assert home.is_at(tmp_path / "run")
    assert home.is_at(tmp_path / "link")
    assert not home.is_at(tmp_path)
    assert not home.is_at(tmp_path / "gone")


# Two starts under one name.


@pytest.mark.usefixtures("stopped")
def test_a_second_start_that_comes_while_the_first_plans_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both see an empty place; the first writes and works before the second gets so far."""
    plan = finished_run.a_plan()
    config = finished_run.a_config(tmp_path / "runs")
    seen: list[bytes] = []

    def first_is_faster(job: object) -> Any:
        config.path.mkdir(parents=True)
        write_config(replace(config, seed=7), begins=True)
        seen.append((config.path / "config.json").read_bytes())
        return plan, toy_dataset()

    job = replace(SEARCH, make_plan=first_is_faster, show=lambda *given: [])
    monkeypatch.setattr(pipeline, "SEARCH", job)
    with pytest.raises(InputError, match="exists; choose another RUN_NAME"):
        pipeline.run_new(config)
    assert [(config.path / "config.json").read_bytes()] == seen
    assert not (config.path / "plan.json").exists()

    # The first still works on it, and has written nothing yet.
    other = replace(config, run_name="r2")
    other.path.mkdir()
    job = replace(job, make_plan=lambda config: (plan, toy_dataset()))
    monkeypatch.setattr(pipeline, "SEARCH", job)
    with only_driver(other.path), pytest.raises(InputError, match="Another process works on"):
        pipeline.run_new(other)
    assert sorted(path.name for path in other.path.iterdir()) == [".lock"]


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(
    "left", [(), ("plan.json",), ("plan.json", ".config.json.partial"), (".plan.json.partial",)]
)
def test_a_start_that_was_killed_before_its_config_can_be_made_again(
    left: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = finished_run.a_plan()
    config = finished_run.a_config(tmp_path / "runs")
    job = replace(SEARCH, make_plan=lambda config: (plan, toy_dataset()), show=lambda *given: [])
    monkeypatch.setattr(pipeline, "SEARCH", job)
    config.path.mkdir(parents=True)
    for name in (".lock", *left):
        (config.path / name).write_text("{")
    with pytest.raises(RunInterrupted):
        pipeline.run_new(config)
    assert read_config(config.path).search_id == config.search_id
    assert (
        read_json(config.path / "plan.json")["estimate_s"] == STARTUP_S
    )  # Nothing else is planned.


def test_a_folder_with_files_of_somebody_else_is_no_killed_start(tmp_path: Path) -> None:
    config = finished_run.a_config(tmp_path / "runs")
    config.path.mkdir(parents=True)
    (config.path / "plan.json").write_text("a plan for the weekend")
    with pytest.raises(InputError, match="exists; choose another RUN_NAME"):
        pipeline.run_new(config)
    assert (config.path / "plan.json").read_text() == "a plan for the weekend"


# A training run.


def test_a_foreign_training_run_writes_to_no_place_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.commands.train.job import write_job
    from tests.whole.test_fuzz_readers import JOB

    monkeypatch.chdir(tmp_path)
    precious = tmp_path / "precious"
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    write_job(replace(JOB, data_dir=str(precious)), run, begins=True)
    assert read_job(run).data_dir == str(precious)
    told = json.loads((run / "train.json").read_text())
    for home in homes(run).values():
        write_json(run / "train.json", {**told, "home": home})
        assert read_job(run).data_dir == str(tmp_path / "data")


def test_a_build_deletes_leftovers_of_its_own_images_only(tmp_path: Path) -> None:
    import numpy as np

    source = ArraySource(np.arange(6 * 81, dtype=np.uint8).reshape(6, 9, 9))
    cache = image_cache._Cache(tmp_path, source, 8, has_images=True)
    own = [tmp_path / f"{cache._key}.{end}" for end in ("npy.tmp", "npy.dense.tmp", "json.tmp")]
    others = [tmp_path / name for name in ("thesis.tmp", "0123456789abcdef01234567.npy.tmp")]
    for path in (*own, *others):
        path.write_text("left")
    load_images(source, image_size=8, cache_dir=tmp_path)
    assert not any(path.exists() for path in own)
    assert [path.read_text() for path in others] == ["left", "left"]
