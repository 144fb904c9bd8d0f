"""The journal survives what a crash leaves behind."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from search.records.journal import SYNC_EVERY_S, Journal
from search.records.journal_lines import EVENTS
from search.records.trials import Record, TrialSpec
from spaces.errors import InputError
from spaces.recipe import RandAugment, Recipe
from trainable.whole_file import commit

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds files in /proc")


def spec(number: int = 0, epochs: int = 3) -> TrialSpec:
    return TrialSpec(
        stage="search",
        number=number,
        role="proposed",
        recipe=Recipe(epochs=epochs, randaugment=RandAugment(num_ops=1, magnitude=3)),
        positions={"weight_decay": 0.25},
        levels={"label_smoothing": -1},
        eval_epochs=(1, 3),
        never_stop=False,
    )


def record(epoch: int, number: int = 0, value: float = 0.5) -> Record:
    return Record(
        trial_id=spec(number).trial_id,
        stage="search",
        epoch=epoch,
        metrics={"val/top1": value},
        time=12.5,
    )


def test_a_trial_spec_survives_the_way_through_json() -> None:
    assert TrialSpec.from_dict(json.loads(json.dumps(spec().to_dict()))) == spec()


def test_a_reopened_journal_knows_everything_that_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin_session(num_cores=2, cores_per_trial=1)
    journal.start(spec(0))
    journal.place("search-0000", node="0a1b", host="this")
    journal.report(record(1))
    journal.checkpoint("search-0000", "somewhere")
    journal.start(spec(1))
    journal.report(record(1, number=1))
    journal.end("search-0001", "failed", "the worker died")
    journal.restart("search-0001")
    journal.end("search-0001", "stopped", "at a rung")
    journal.wrote_model("search-0001", "5a")
    journal.close()

    events = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert {json.loads(line)["event"] for line in events} == set(EVENTS), "one is never read here"
    again = Journal(tmp_path)
    assert again.trials == journal.trials
    assert again.model == journal.model == ("search-0001", "5a")
    assert again.trials["search-0000"].node == "0a1b"
    assert again.trials["search-0000"].checkpoint == "somewhere"
    assert again.trials["search-0001"].status == "stopped"


@pytest.mark.parametrize("num_bytes", [1, 10, 30])
def test_a_torn_last_line_is_cut_off_and_reported_again(tmp_path: Path, num_bytes: int) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    journal.report(record(1))
    journal.report(record(2))
    journal.close()
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-num_bytes])

    again = Journal(tmp_path)

    assert again.trials["search-0000"].epoch == 1
    assert again.report(record(2))
    again.close()
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]


def test_an_epoch_is_written_once_however_often_it_is_reported(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    assert journal.report(record(1))
    assert not journal.report(record(1))
    journal.close()
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 1


def test_a_gap_between_epochs_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    with pytest.raises(RuntimeError, match="reported epoch 2 right after epoch 0"):
        journal.report(record(2))
    journal.close()


def test_a_value_that_is_not_finite_never_reaches_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start(spec())
    with pytest.raises(ValueError, match="JSON"):
        journal.report(record(1, value=float("nan")))
    journal.close()
    assert journal.trials["search-0000"].epoch == 0
    assert Journal(tmp_path).trials["search-0000"].epoch == 0


class Clocks:
    """Both clocks of this machine: one only grows, the other is set by whoever likes to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.grown, self.wall = 1000.0, 1.7e9
        monkeypatch.setattr("search.records.journal.time.monotonic", lambda: self.grown)
        monkeypatch.setattr("search.records.journal.time.time", lambda: self.wall)

    def pass_by(self, seconds: float) -> None:
        self.grown += seconds
        self.wall += seconds


DAY, YEAR = 86400.0, 366 * 86400.0


@pytest.mark.parametrize("jump", [0.0, DAY, -DAY, YEAR, -YEAR])
def test_time_is_counted_while_a_session_works_however_the_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    clocks = Clocks(monkeypatch)
    for number in range(2):
        journal = Journal(tmp_path)
        journal.begin_session(num_cores=2, cores_per_trial=1, running_s=5.0)
        clocks.pass_by(10.0)
        journal.start(spec(number))
        clocks.wall += jump  # Between two events,
        clocks.pass_by(15.0)
        journal.checkpoint(spec(number).trial_id, "somewhere")
        assert journal.wall_s == pytest.approx((number + 1) * 30.0)
        journal.close()
        clocks.pass_by(5000.0)
        clocks.wall += jump  # and between two sessions.
        clocks.grown = 7.0  # The machine was started anew.
    again = Journal(tmp_path)
    assert again.wall_s == pytest.approx(2 * 30.0)
    assert again.core_s == pytest.approx(2 * 60.0)


def test_a_journal_that_knows_the_wall_clock_alone_is_still_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin_session(num_cores=2, cores_per_trial=1)
    journal.start(spec())
    journal.end(spec().trial_id, "stopped")
    journal.close()
    path = tmp_path / "trials.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event, time in zip(events, (100.0, 130.0, 90.0), strict=True):
        del event["session_s"]
        event["time"] = time
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert Journal(tmp_path).wall_s == 30.0  # Not less for a clock that went back.


@needs_linux
def test_no_record_waits_for_the_disk_much_longer_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What power loss may take: not the last epoch before one of an hour."""
    clocks = Clocks(monkeypatch)
    journal = Journal(tmp_path)
    journal.start(spec())
    synced: list[int] = []

    def fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if path.is_file():
            synced.append(len(path.read_text().splitlines()))

    monkeypatch.setattr("search.records.journal.os.fsync", fsync)
    journal.report(record(1))
    journal.tick()
    assert synced == []
    clocks.pass_by(SYNC_EVERY_S)
    journal.tick()
    assert synced == [1]
    journal.tick()
    assert synced == [1], "there is nothing to sync"
    journal.close()


# Lines lost in the middle.


def whole_run(run_dir: Path, *, num_trials: int = 12) -> Journal:
    """Trials of three epochs, one after the other, the last one of another stage."""
    journal = Journal(run_dir)
    journal.begin_session(num_cores=2, cores_per_trial=1)
    for number in range(num_trials):
        journal.start(spec(number))
        for epoch in (1, 2, 3):
            journal.report(record(epoch, number))
            if epoch == 2:
                journal.checkpoint(spec(number).trial_id, "somewhere")
        journal.end(spec(number).trial_id, "finished")
    confirm = replace(spec(0), stage="confirm")
    journal.start(confirm)
    journal.report(replace(record(1), trial_id=confirm.trial_id, stage="confirm"))
    journal.close()
    return journal


def lose(path: Path, begin: int, length: int = 4096) -> None:
    """As a page that was never written: the file has its length, and zeros in it."""
    content = path.read_bytes()
    assert 0 < begin < begin + length < len(content)
    path.write_bytes(content[:begin] + bytes(length) + content[begin + length :])


def train_again(journal: Journal) -> None:
    """What a conductor does with trials that run: every epoch, with the same numbers."""
    for trial in list(journal.trials.values()):
        if trial.status == "running":
            for epoch in range(1, 4):
                told = replace(record(epoch), trial_id=trial.spec.trial_id, stage=trial.spec.stage)
                journal.report(told)
            journal.end(trial.spec.trial_id, "finished")


@pytest.mark.parametrize("begin", range(300, 2800, 300))
def test_a_lost_page_of_records_costs_the_trials_it_was_of(tmp_path: Path, begin: int) -> None:
    before = whole_run(tmp_path).trials
    lose(tmp_path / "records.jsonl", begin, 512)
    journal = Journal(tmp_path)
    again = [name for name, trial in journal.trials.items() if trial != before[name]]
    assert 1 <= len(again) <= 5
    assert list(journal.trials) == list(before)
    for name in again:
        lost = journal.trials[name]
        assert lost.status == "running"
        assert lost.checkpoint is None, "it lies after the epochs that are lost"
        assert name in journal.damage or before[name].status == "running"
    assert "records.jsonl" in journal.damage
    train_again(journal)
    journal.close()
    healed = Journal(tmp_path)
    assert healed.damage == ""
    assert {n: (t.epoch, t.status) for n, t in healed.trials.items()} == dict.fromkeys(
        before, (3, "finished")
    )
    assert (tmp_path / "records.jsonl.damaged").read_bytes().count(0) == 512


@pytest.mark.parametrize("begin", [3000, 7000, 12000])
def test_a_lost_page_of_events_costs_what_started_after_it(tmp_path: Path, begin: int) -> None:
    before = whole_run(tmp_path).trials
    lose(tmp_path / "trials.jsonl", begin)
    journal = Journal(tmp_path)
    kept = list(journal.trials)
    assert kept == list(before)[: len(kept)], "a beginning of the run, with no gap"
    assert 1 <= len(kept) < len(before)
    assert "forgotten" in journal.damage
    assert sum(t.epoch == 3 for t in journal.trials.values()) == len(kept)
    for number in range(len(kept), 12):
        journal.start(spec(number))
    train_again(journal)
    journal.close()
    healed = Journal(tmp_path)
    assert healed.damage == ""
    assert list(healed.trials) == list(before)[:12]


def test_lines_on_which_nothing_rests_are_lost_alone(tmp_path: Path) -> None:
    """A checkpoint, and the end of a trial: it ends once more."""
    before = whole_run(tmp_path).trials
    path = tmp_path / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lost = [i for i, line in enumerate(lines) if b'"checkpoint"' in line or b'"end"' in line][4:6]
    for i in lost:
        lines[i] = bytes(len(lines[i]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    journal = Journal(tmp_path)
    assert list(journal.trials) == list(before)
    assert [n for n, t in journal.trials.items() if t.epoch != before[n].epoch] == []
    assert "forgotten" not in journal.damage
    assert "2 of trials.jsonl" in journal.damage
    assert journal.trials["search-0002"].status == "running"
    assert not path.with_name("trials.jsonl.damaged").exists(), "it was only read"


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_crash_while_the_journal_is_mended_loses_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    whole_run(tmp_path)
    lose(tmp_path / "records.jsonl", 1000, 512)
    damaged = (tmp_path / "records.jsonl").read_bytes()
    found = Journal(tmp_path)
    calls = iter(range(1, 9))

    def crash(partial: Path, final: Path) -> None:
        if next(calls) == crash_at:
            raise OSError("power loss")
        commit(partial, final)

    with monkeypatch.context() as patched:
        patched.setattr("search.records.journal.commit", crash)
        with pytest.raises(OSError, match="power loss"):
            found.begin_session(num_cores=1, cores_per_trial=1)
    again = Journal(tmp_path)
    assert {n: (t.epoch, t.status, t.checkpoint) for n, t in again.trials.items()} == {
        n: (t.epoch, t.status, t.checkpoint) for n, t in found.trials.items()
    }
    train_again(again)
    again.close()
    assert Journal(tmp_path).damage == ""
    assert (tmp_path / "records.jsonl.damaged").read_bytes() == damaged


def test_a_journal_of_which_nothing_is_left_begins_anew(tmp_path: Path) -> None:
    whole_run(tmp_path, num_trials=2)
    path = tmp_path / "trials.jsonl"
    path.write_bytes(bytes(path.stat().st_size - 1) + b"\n")
    journal = Journal(tmp_path)
    assert journal.trials == {}
    assert "damaged" in journal.damage
    journal.start(spec())
    journal.close()
    again = Journal(tmp_path)
    assert (again.damage, list(again.trials)) == ("", ["search-0000"])


def test_a_journal_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    whole_run(tmp_path, num_trials=2)
    path = tmp_path / "trials.jsonl"
    path.write_text(path.read_text().replace('"role"', '"rule"'))
    before = path.read_bytes()
    with pytest.raises(InputError, match="role"):
        Journal(tmp_path)
    assert path.read_bytes() == before
