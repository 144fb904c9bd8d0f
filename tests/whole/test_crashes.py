"""What a run survives: its workers, its cluster, power loss, a full disk, a trial that never works.

Real processes where it matters, with trials that take milliseconds (`tests.support.toy_driver`).
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from search.commands.session import log_file
from search.records.files import write_text
from search.records.journal import Journal
from search.records.provenance import ROOT
from search.records.trials import Record, TrialSpec
from spaces.recipe import Recipe
from tests.support.local_trainable import EPOCHS, LocalTrainable, a_config
from tests.support.programs.forked import Forked
from tests.support.toy_training import TOY, toy_dataset
from tests.support.whole_run import num_records_of, require_mirrored, require_whole, whole_lines
from trainable import checkpoint
from trainable.trainer import Trainer

BROKEN = "search-0004"


# Processes that are killed


def num_longer(run: Path) -> int:
    """Runs of twice the length, of which there is one where nothing fits its training images."""
    events = [json.loads(line) for line in whole_lines(run / "trials.jsonl")]
    found = [e for e in events if e["event"] == "start" and e["spec"]["role"] == "longer"]
    assert len(found) <= 1
    return len(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Toy:
    """A run of `tests.support.toy_driver` in a directory of its own."""

    home: Path
    uri: str

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in whole_lines(self.run / "records.jsonl")]

    @property
    def trained(self) -> list[tuple[str, int, int]]:
        """Trial, epoch and process of each epoch that was begun."""
        rows = [line.split() for line in whole_lines(self.home / "trained.txt")]
        return [(trial_id, int(epoch), int(pid)) for trial_id, epoch, pid in rows]

    def start(self, command: str, *, epoch_s: float, **more: str) -> Forked:
        driver = [command, str(self.run), self.uri]
        return Forked("tests.support.toy_driver", driver, environment=self.told(epoch_s) | more)

    def start_within(
        self, within: Sequence[str], command: str, *, epoch_s: float, **more: str
    ) -> subprocess.Popen[str]:
        """Start it by another program, such as one that gives it less of the machine."""
        driver = [sys.executable, "-m", "tests.support.toy_driver", command, str(self.run)]
        return subprocess.Popen(
            [*within, *driver, self.uri],
            cwd=ROOT,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"} | self.told(epoch_s) | more,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def told(self, epoch_s: float) -> dict[str, str]:
        return {
            "TOY_EPOCH_S": str(epoch_s),
            "TOY_TRAINED": str(self.home / "trained.txt"),
            "TOY_BROKEN": BROKEN,
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # Else a busy machine lets workers wait for minutes.
        }


def toy(home: Path) -> Toy:
    return Toy(home=home, uri=f"sqlite:///{home}/mlflow.db")


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str] | Forked) -> None:
    deadline = time.monotonic() + 200
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the search does not get on"
        time.sleep(0.02)


def children(pid: int) -> Iterator[int]:
    """All processes below one, as Linux tells them."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from children(int(child))


def kill_cluster(driver: int) -> None:
    killed = set()
    for pid in list(children(driver)):
        program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2]
        if program in (b"gcs_server", b"raylet"):
            os.kill(pid, signal.SIGKILL)
            killed.add(program)
    assert killed == {b"gcs_server", b"raylet"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """The history of a run that lost a worker, then its cluster, and was resumed."""

    toy: Toy
    victim: tuple[str, int]
    at_end: str
    end_code: int | None
    end_s: float
    at_last: str
    last_code: int | None


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    it = toy(tmp_path_factory.mktemp("killed"))
    first = it.start("run", epoch_s=0.4)
    # In the second epoch: the first has left a checkpoint.
    wait_for(lambda: any(epoch == 2 for _, epoch, _ in it.trained), first)
    trial_id, epoch, pid = next(row for row in it.trained if row[1] == 2)
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len([e for t, e, _ in it.trained if (t, e) == (trial_id, epoch)]) == 2, first)
    wait_for(lambda: len(it.records) >= 10, first)
    kill_cluster(first.pid)
    killed_at = time.monotonic()
    at_end, _ = first.communicate(timeout=60)
    end_s = time.monotonic() - killed_at
    again = it.start("resume", epoch_s=0.01)
    at_last, _ = again.communicate(timeout=400)
    return Story(
        toy=it,
        victim=(trial_id, epoch),
        at_end=at_end,
        end_code=first.returncode,
        end_s=end_s,
        at_last=at_last,
        last_code=again.returncode,
    )


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
real = [pytest.mark.slow, pytest.mark.timeout(900), needs_linux]


@pytest.mark.usefixtures("story")
class TestKilledProcesses:
    pytestmark = real

    def test_a_driver_without_its_cluster_ends_at_once_with_one_line(self, story: Story) -> None:
        assert story.end_code == 1
        last = story.at_end.splitlines()[-1]
        assert last.startswith("The Ray cluster is gone: ")
        assert last.endswith(f"make resume RUN={story.toy.run}")
        assert "Traceback" not in story.at_end
        assert story.end_s < 45  # Ray itself would take 60 s.

    def test_a_killed_worker_s_trial_goes_on_from_its_last_epoch(self, story: Story) -> None:
        trial_id, epoch = story.victim
        begun = [e for t, e, _ in story.toy.trained if t == trial_id]
        assert begun.count(epoch) >= 2
        assert begun.count(1) == 1  # It did not start over.

    def test_the_resumed_run_is_whole(self, story: Story) -> None:
        assert story.last_code == 0, story.at_last
        assert require_whole(story.toy.run)["confirm"] == 10 + num_longer(story.toy.run)
        require_mirrored(story.toy.run, story.toy.uri)

    def test_a_trial_that_always_raises_fails_with_its_log_and_the_others_go_on(
        self, story: Story
    ) -> None:
        ends = [json.loads(line) for line in whole_lines(story.toy.run / "trials.jsonl")]
        failed = {e["trial_id"]: e for e in ends if e["event"] == "end" and e["status"] == "failed"}
        assert set(failed) == {BROKEN}
        assert f"planted failure of {BROKEN}" in failed[BROKEN]["reason"]
        log = (story.toy.run / "log.txt").read_text()
        assert "in step\n" in log
        assert f"RuntimeError: planted failure of {BROKEN}" in log
        # Once and two retries, each beginning with the epoch that fails.
        assert [e for t, e, _ in story.toy.trained if t == BROKEN].count(2) >= 3

    def test_workers_are_kept_where_stock_tune_starts_one_a_trial(self, story: Story) -> None:
        """One per place and session, one for the killed one, and one for each failure."""
        places = os.cpu_count() or 1
        assert len({pid for _, _, pid in story.toy.trained}) <= 2 * places + 1 + 3
        assert len({trial_id for trial_id, _, _ in story.toy.trained}) > 30


@pytest.mark.stress
@needs_linux
@pytest.mark.timeout(900)
def test_a_trial_whose_worker_dies_each_time_fails_and_the_search_goes_on(tmp_path: Path) -> None:
    it = toy(tmp_path)
    process = it.start("run", epoch_s=0.5)
    victim = "search-0003"
    killed: set[int] = set()
    while len(killed) < 3:  # As often as it is started: once, and `max_failures` times more.
        wait_for(lambda: bool({p for t, _, p in it.trained if t == victim} - killed), process)
        (pid,) = {p for t, _, p in it.trained if t == victim} - killed
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert require_whole(it.run)["confirm"] == 10 + num_longer(it.run)
    ends = [json.loads(line) for line in whole_lines(it.run / "trials.jsonl")]
    failed = {e["trial_id"] for e in ends if e["event"] == "end" and e["status"] == "failed"}
    assert failed == {victim, BROKEN}
    require_mirrored(it.run, it.uri)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Memory as a disk: enough for a run and its tracking store, little enough to fill at once."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() or libc.mount(b"tmpfs", bytes(disk), b"tmpfs", 0, b"size=16m"):
        pytest.skip("only root may mount a file system")
    yield disk
    libc.umount2(bytes(disk), 2)  # Lazily: processes may still end.


@pytest.mark.stress
@needs_linux
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", ["search", "attribute", "confirm"])
def test_a_full_disk_ends_a_run_with_one_line_and_nothing_is_lost(
    small_disk: Path, stage: str
) -> None:
    it = Toy(home=small_disk, uri=f"sqlite:///{small_disk}/mlflow.db")
    process = it.start("run", epoch_s=0.1)
    wait_for(lambda: num_records_of(it.run, stage) >= 3, process)
    ballast = small_disk / "ballast"
    fill(ballast)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 1, output
    assert "No space left on device" in output.splitlines()[-1]
    assert output.splitlines()[-1].endswith(f"make resume RUN={it.run}")
    assert "Traceback" not in output
    ballast.unlink()
    process = it.start("resume", epoch_s=0.01)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "\nTrain   " in output
    assert "catches up later" not in output, output  # It had room for everything.
    require_whole(it.run)
    require_mirrored(it.run, it.uri)


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    assert shutil.disk_usage(path).free == 0


def a_record(epoch: int) -> Record:
    metrics = {"val/top1": 0.5}
    return Record(trial_id="search-0000", stage="search", epoch=epoch, metrics=metrics)


@pytest.mark.parametrize("num_bytes", [0, 1, 20])
def test_a_line_that_did_not_fit_is_taken_back_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    journal = Journal(tmp_path)
    journal.start(TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe()))
    journal.report(a_record(1))
    before = (tmp_path / "records.jsonl").read_bytes()
    parts = [num_bytes] if num_bytes else []
    write = os.write

    def full(file: int, data: bytes) -> int:
        """What is left of the disk takes a part of the line, then nothing."""
        if parts:
            return write(file, data[: parts.pop()])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("search.records.journal.os.write", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*records\.jsonl'"):
            journal.report(a_record(2))
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert journal.report(a_record(2))
    journal.close()
    assert [r.epoch for r in Journal(tmp_path).trials["search-0000"].records] == [1, 2]


@needs_linux
def test_no_event_is_on_disk_before_the_records_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power loss takes what was not synced; a checkpoint then must not be ahead of the records."""
    journal = Journal(tmp_path)
    journal.start(TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe()))
    journal.report(a_record(1))
    journal.report(a_record(2))
    synced: list[tuple[str, int]] = []

    def fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        synced.append((path.name, len(path.read_text().splitlines())))

    monkeypatch.setattr("search.records.journal.os.fsync", fsync)
    journal.checkpoint("search-0000", "somewhere")
    journal.close()
    assert synced == [("records.jsonl", 2), ("trials.jsonl", 2)]


def test_a_file_that_does_not_fit_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trials.csv"
    write_text(path, "old")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("trainable.whole_file.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_text(path, "new")
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_log_that_cannot_be_written_says_nothing_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import logging

    with log_file(Path("/dev/full")):
        logging.getLogger("search").error("the disk is full")
    assert capsys.readouterr().err == ""


# Power loss while a checkpoint is written


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    """As a file system leaves blocks that were allocated and never written."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, zero, flip, empty, Path.unlink])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_a_checkpoint_that_is_not_whole_is_never_trusted(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """A trial goes on from the earlier one, or starts over with the same numbers."""
    torch.set_num_threads(1)  # As the trial does; sums of other numbers of threads differ.
    dataset = toy_dataset()
    trainer = Trainer(replace(TOY, epochs=EPOCHS), dataset, dataset.split)
    whole = []
    early, late = tmp_path / "early", tmp_path / "late"
    for folder in (early, late):
        folder.mkdir()
        whole.append(trainer.train_epoch()["train/loss"])
        checkpoint.save(trainer, folder)
    whole.append(trainer.train_epoch()["train/loss"])
    (newest,) = late.glob("run-*.pt")

    going_on = LocalTrainable(a_config(checkpoint=late)).step()
    assert going_on["epoch"] == 3
    assert going_on["metrics"]["train/loss"] == whole[2]

    harm(newest)
    assert not checkpoint.load(Trainer(TOY, dataset, dataset.split), late)
    again = LocalTrainable(a_config(checkpoint=late))
    steps = [again.step() for _ in range(3)]
    assert [step["epoch"] for step in steps] == [1, 2, 3]
    assert [step["metrics"]["train/loss"] for step in steps] == whole

    (earlier,) = early.glob("run-*.pt")
    earlier.rename(late / earlier.name)
    assert LocalTrainable(a_config(checkpoint=late)).step()["epoch"] == 2
