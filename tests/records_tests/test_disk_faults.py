"""A disk that is slow to sync, or has no room for what it took: what the journal makes of it."""

import errno
import os
import sys
from pathlib import Path

import pytest

from search.records.journal import SYNC_EVERY_S, Journal
from search.records.trials import Record, TrialSpec
from spaces.recipe import Recipe

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="finds files in /proc")
SPEC = TrialSpec(stage="search", number=0, role="proposed", recipe=Recipe(epochs=1000))


def a_record(epoch: int) -> Record:
    return Record(
        trial_id=SPEC.trial_id, stage="search", epoch=epoch, metrics={"val/top1": 0.5}, time=1.0
    )


@pytest.mark.parametrize("epoch_s", [0.01, 0.1, 0.5])
def test_a_sync_of_two_hundred_milliseconds_takes_a_fifth_of_short_epochs_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch_s: float
) -> None:
    """A sync for each record would take twenty times as long as epochs of 10 ms."""
    now = 0.0

    def fsync(file: int) -> None:
        nonlocal now
        now += 0.2

    monkeypatch.setattr("search.records.journal.time.monotonic", lambda: now)
    journal = Journal(tmp_path)
    journal.start(SPEC)
    monkeypatch.setattr("os.fsync", fsync)
    began = now
    for epoch in range(1, 401):
        now += epoch_s
        journal.report(a_record(epoch))
        journal.tick()
    journal.close()
    trained_s = 400 * epoch_s
    assert now - began <= trained_s * (1 + 0.2 / SYNC_EVERY_S) + 0.4
    assert now - began > trained_s


@needs_linux
@pytest.mark.parametrize("name", ["records.jsonl", "trials.jsonl"])
def test_a_disk_that_is_full_at_the_sync_is_named_and_nothing_known_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Delayed allocation: the write was taken, and only the sync finds no room for it."""
    journal = Journal(tmp_path)
    journal.start(SPEC)
    journal.report(a_record(1))
    journal.checkpoint(SPEC.trial_id, "somewhere")
    journal.report(a_record(2))
    sync = os.fsync

    def full(file: int) -> None:
        if Path(f"/proc/self/fd/{file}").readlink().name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match=rf"No space left on device: '.*{name}'"):
            journal.end(SPEC.trial_id, "stopped", "at a rung")
    assert journal.trials[SPEC.trial_id].status == "running", "nothing was decided upon it"
    journal.close()
    again = Journal(tmp_path)
    assert again.damage == ""
    assert again.trials[SPEC.trial_id].epoch == 2
    assert again.trials[SPEC.trial_id].checkpoint == "somewhere"
    if again.trials[SPEC.trial_id].status == "running":
        assert again.report(a_record(3))
    again.close()
